#!/usr/bin/env python3
"""bench/compare.py with stand-in programs: the order of its turns, its medians, ratios and marks, and what fails.

    test_compare.py COMPARE_SCRIPT
"""
import json
import os
import subprocess
import sys
import tempfile

SCRIPT = os.path.abspath(sys.argv[1])
# Writes the rows of the run whose turn it is, {case: [seconds of each run]}, and notes that it ran.
PROGRAM = """#!%s -B
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
name, build = os.path.basename(__file__), os.path.basename(os.path.dirname(here))
with open(os.path.join(here, "..", "..", "calls"), "a+") as calls:
    calls.write("%%s %%s\\n" %% (build, name))
    calls.seek(0)
    turn = calls.read().splitlines().count("%%s %%s" %% (build, name)) - 1
with open(os.path.join(here, name + ".json")) as stream:
    figures = json.load(stream)
if figures is None:
    sys.exit("it broke")
rows = [{"work": case, "shape": "8", "engine": "cpu", "seconds": values[turn], "peer": case == "a peer"}
        for case, values in figures.items()]
with open(sys.argv[sys.argv.index("--json") + 1], "w") as stream:
    json.dump([{"program": name}, *rows], stream)
""" % sys.executable
failures = 0


def check(name, good, detail=""):
    global failures
    failures += not good
    print(("ok    " if good else "FAIL  ") + name + ("" if good else "\n      %s" % (detail,)), flush=True)


def compare(parent, this, rounds=4, train=None):
    """Exit status, output, errors, the report's text and the calls, with dispatch's figures of both builds."""
    with tempfile.TemporaryDirectory() as work:
        for build, figures in (("parent", parent), ("this", this)):
            os.makedirs(os.path.join(work, build, "bench"))
            for name, content in (("dispatch", figures), ("train", train or {"step": [1e-3] * rounds})):
                path = os.path.join(work, build, "bench", name)
                with open(path, "w", encoding="utf-8") as stream:
                    stream.write(PROGRAM)
                os.chmod(path, 0o755)
                with open(path + ".json", "w", encoding="utf-8") as stream:
                    json.dump(content, stream)
        report, calls = os.path.join(work, "report.txt"), os.path.join(work, "calls")
        done = subprocess.run([sys.executable, "-B", SCRIPT, os.path.join(work, "parent"), os.path.join(work, "this"), "--rounds",
                               str(rounds), "--names", "1111111,2222222", "--output", report], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=100, check=False)
        texts = []
        for path in (report, calls):
            texts.append(open(path, encoding="utf-8").read() if os.path.exists(path) else "")
        return done.returncode, done.stdout, done.stderr, texts[0], texts[1].splitlines()


def line_of(report, case):
    found = [line.split() for line in report.splitlines() if line.startswith("dispatch: %s, 8 " % case)]
    return " ".join(found[0][3:]) if len(found) == 1 else found


# The medians of 1, 9, 3, 1 and of 4, 2, 3, 50 are 2 and 3.5 where means would be 3.5 and 14.75.
status, out, err, report, calls = compare(
    {"slow": [1e-6, 9e-6, 3e-6, 1e-6], "edge": [1e-6] * 4, "fast": [1e-6] * 4, "gone": [2e-6] * 4, "a peer": [1] * 4},
    {"slow": [4e-6, 2e-6, 3e-6, 50e-6], "edge": [1.09e-6] * 4, "fast": [5e-7] * 4, "new": [2e-6] * 4, "a peer": [2] * 4})
check("marks change no status", status == 0 and err == "", (status, err))
check("the report is what was printed", report == out and report.endswith("\n") and "1111111" in report and "2222222" in report, report)
check("by turns: A B, B A, A B, B A", [c.split()[0] for c in calls if c.endswith("dispatch")] ==
      ["parent", "this", "this", "parent"] * 2, calls)
check("both programs", sum(c.endswith("train") for c in calls) == 8, calls)
check("medians, ratio, spread, mark", line_of(report, "slow") == "2 us 3.5 us 1.75 9.00 above 1.1", line_of(report, "slow"))
check("below 1.1: no mark", line_of(report, "edge") == "1 us 1.09 us 1.09 1.00", line_of(report, "edge"))
check("faster: no mark", line_of(report, "fast") == "1 us 500 ns 0.50 1.00", line_of(report, "fast"))
check("a case of one build alone", line_of(report, "gone") == "2 us - - 1.00" and line_of(report, "new") == "- 2 us - -", report)
check("peers are left out", "a peer" not in report, report)
check("the count of marks", report.endswith("\n1 of 4 cases took more than 1.1 times as long\n"), report)

status, out, err, report, calls = compare({"slow": [1e-6, 3e-6, 2e-6]}, {"slow": [1e-6, 3e-6, 2.21e-6]}, rounds=3)
check("an odd number of rounds", line_of(report, "slow") == "2 us 2.21 us 1.10 3.00 above 1.1", report)
status, out, err, report, calls = compare({"slow": [1e-6]}, None, rounds=1)
check("a program of ours that fails is told: status 1", status == 1 and "bench/dispatch" in err and "it broke" in err and
      "Traceback" not in err and report == "", (status, err))
status, out, err, report, calls = compare(None, {"slow": [1e-6, 1e-6]}, rounds=2)
check("one of the parent's is told in the report: status 0", status == 0 and line_of(report, "slow") == "- 1 us - -" and
      "the parent cannot be measured: bench/dispatch ended with status 1: it broke" in report and
      report.endswith("\n0 of 1 cases took more than 1.1 times as long\n") and calls.count("parent dispatch") == 1, (err, report))
status, out, err, report, calls = compare({"a": [1e-6]}, {"b": [1e-6]}, rounds=1, train={"a peer": [1]})
check("nothing in common: status 1", status == 1 and "no case in common" in err and report == "", (status, err))
sys.exit(1 if failures else 0)
