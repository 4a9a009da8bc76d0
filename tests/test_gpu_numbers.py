#!/usr/bin/env python3
"""bench/gpu_numbers on gpu-sim: every part prints lines that can be read, with results that are right.

    test_gpu_numbers.py PROGRAM

1. Each part prints the lines that it must, one flat JSON object each, with the keys that bench/gpu_measure.py reads. 2. A
seed gives other numbers and the same lines. 3. A wrong command line is told in a sentence with exit 2, a full disk with exit 1.
"""
import json
import subprocess
import sys

PROGRAM = sys.argv[1]
# What each part measures, and by whom at least.
PARTS = {
    "smoke": {"device": {None}, "copy": {"copy"}, "matmul": {"ours"}},
    "matmul": {"matmul": {"ours", "cublas"}},
    "elementwise": {"map": {"ours", "copy"}, "zip": {"ours", "copy"}},
    "reduce": {"reduce": {"ours", "copy"}},
    "move": {"copy": {"ours", "copy"}, "fill": {"ours", "copy"}, "random": {"ours", "copy"}, "gather": {"ours", "copy"}},
    "training": {"step": {"ours", "ours graph"}},
    "ncu": {"matmul large": {"ours"}, "matmul middle": {"ours"}, "map relu": {"ours"}, "reduce sum": {"ours"},
            "copy transposed": {"ours"}},
}
STAGES = {"smoke": "smoke", "training": "training", "ncu": "ncu"}
TIMES = ("us", "low_us", "high_us", "samples")
failures = 0


def check(condition, text):
    global failures
    if not condition:
        failures += 1
        print("FAIL  " + text)


def run(*arguments, **options):
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([PROGRAM, "--backend", "gpu-sim", *arguments], stderr=subprocess.PIPE, text=True, timeout=200, **options)


def check_line(part, line):
    where = "%s: %s" % (part, json.dumps(line))
    check(line["stage"] == STAGES.get(part, "numbers"), "the stage of " + where)
    check(line["what"] in PARTS[part], "what is measured: " + where)
    if "not_here" in line or part == "ncu" or line["what"] == "device":
        return
    check(all(line.get(key, -1) > 0 for key in TIMES) and line["low_us"] <= line["us"] <= line["high_us"], "the times of " + where)
    check(line["by"] == "copy" or line["error"] <= line["tolerance"], "the error of " + where)
    check("wrong" not in line, "wrong: " + where)
    if part == "training":
        check(line["launches"] > 0 and line["synchronisations"] == 0 and line["copies"] == 0, "the counts of " + where)
    else:
        check(line["bytes"] > 0 and line["timing"] == "loop", "bytes and timing of " + where)


def lines_of(part, *options):
    done = run("--part", part, *options)
    check(done.returncode == 0, "--part %s ends with %d: %s" % (part, done.returncode, done.stderr))
    return [json.loads(text) for text in done.stdout.splitlines()]


def names_of(lines):
    return [(line["what"], line.get("case"), line.get("by")) for line in lines]


for part, whats in PARTS.items():
    lines = lines_of(part)
    for line in lines:
        check_line(part, line)
    found = {}
    for line in lines:
        found.setdefault(line["what"], set()).add(line.get("by"))
    check(found == whats, "--part %s has %s, not %s" % (part, found, whats))
    check(len(set(names_of(lines))) == len(lines), "--part %s has two lines of one name" % part)
    print("%-12s %3d lines" % (part, len(lines)), flush=True)
one, other = lines_of("matmul"), lines_of("matmul", "--seed", "7")
check(names_of(one) == names_of(other), "another seed, other lines")
check([line.get("error") for line in one] != [line.get("error") for line in other], "another seed, the same numbers")

for arguments, sentence in ((("--part", "fast"), "elementwise"), (("--seed", "x"), "--seed"), (("--fast",), "--fast")):
    done = run(*arguments)
    check(done.returncode == 2 and sentence in done.stderr and done.stdout == "", "%s: %d, %r" % (arguments, done.returncode, done.stderr))
with open("/dev/full", "w", encoding="utf-8") as full:
    done = run("--part", "matmul", stdout=full)
check(done.returncode == 1 and "cannot write to standard output" in done.stderr and done.stderr.count("\n") == 1,
      "a full disk: %d, %r" % (done.returncode, done.stderr))
print("%d failures" % failures)
sys.exit(1 if failures else 0)
