#!/usr/bin/env python3
"""The command line of run_fast, from outside: wrong input, good behaviour, signals, full disks, closed pipes.

Usage: test_cli.py RUN_FAST [MAN_PAGE]. Prints one line a check and exits 1 when any failed.
"""
import csv
import io
import json
import math
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

PROGRAM = os.path.abspath(sys.argv[1])
MAN_PAGE = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
# Instrumented and emulated builds are slow: nothing here measures time, so the limit is generous.
LIMIT = 120
FAST = ["--hidden", "8", "--epochs", "12"]

checks = failures = 0


def check(name, good, detail=""):
    global checks, failures
    checks += 1
    failures += not good
    print(("ok    " if good else "FAIL  ") + name + ("" if good or not detail else f"\n      {detail!r}"), flush=True)
    return good


def run(*arguments, env=None, **options):
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, timeout=LIMIT,
                          env=None if env is None else {**os.environ, **env}, **options)


def sentence(result):
    """What is on stderr, without the line that announces a run."""
    lines = result.stderr.decode(errors="replace").splitlines()
    return "\n".join(line for line in lines if not line.startswith("seed "))


# ---- wrong command lines: arguments, exit status, what the sentence must say ----

WRONG = [
    (["--dataset", "moons"], 2, ["simple, diag, split, xor, circle, spiral", "moons"]),
    (["--dataset", ""], 2, ["simple, diag"]),
    (["--dataset"], 2, ["needs a value", "simple"]),
    (["--points", "0"], 2, ["1 to 10000000", "'0'"]),
    (["--points", "-5"], 2, ["1 to 10000000"]),
    (["--points", "10000001"], 2, ["1 to 10000000"]),
    (["--points", "fifty"], 2, ["whole number", "fifty"]),
    (["--points", "50x"], 2, ["1 to 10000000"]),
    (["--points", "5.5"], 2, ["whole number"]),
    (["--points", "1e3"], 2, ["whole number"]),
    (["--points", " 50"], 2, ["whole number"]),
    (["--points", "0x20"], 2, ["whole number"]),
    (["--points="], 2, ["1 to 10000000"]),
    (["--points", "99999999999999999999999999"], 2, ["1 to 10000000"]),
    (["--points", "--hidden", "10"], 2, ["--points needs a value"]),
    (["--PTS", "none"], 2, ["--points must be"]),
    (["--hidden", "0"], 2, ["1 to 65536"]),
    (["--hidden", "65537"], 2, ["1 to 65536"]),
    (["--rate", "0"], 2, ["above 0"]),
    (["--rate", "-0.1"], 2, ["above 0"]),
    (["--rate", "nan"], 2, ["number above 0", "nan"]),
    (["--rate", "inf"], 2, ["number above 0"]),
    (["--rate", "1e999"], 2, ["at most"]),
    (["--rate", "1e-999"], 2, ["above 0"]),
    (["--rate", "1e-308"], 2, ["above 0 (in float, whose least is 1.4e-45)", "1e-308"]),
    (["--rate", "1e-46"], 2, ["in float, whose least is 1.4e-45"]),
    (["--rate", "0.05abc"], 2, ["number above 0"]),
    (["--rate", "0,05"], 2, ["number above 0"]),
    (["--epochs", "-1"], 2, ["0 to 1000000000"]),
    (["--epochs", "many"], 2, ["0 to 1000000000"]),
    (["--batch", "0"], 2, ["1 to 10000000"]),
    (["--seed", "-1"], 2, ["0 to 18446744073709551615"]),
    (["--seed", "18446744073709551616"], 2, ["0 to 18446744073709551615"]),
    (["--seed", "1.5"], 2, ["whole number"]),
    (["--threads", "0"], 2, ["1 to 1024"]),
    (["--threads", "1025"], 2, ["1 to 1024"]),
    (["--every", "0"], 2, ["1 to 1000000000"]),
    (["--optimizer", "lbfgs"], 2, ["sgd, adam, adamw"]),
    (["--init", "glorot"], 2, ["minitorch", "xavier", "kaiming"]),
    (["--log", "xml"], 2, ["classic, timed, csv, json"]),
    (["--report-loss", "median"], 2, ["last-batch, mean-epoch"]),
    (["--backend", "tpu"], 2, ["cpu", "simple", "a path with a slash"]),
    (["--backend", "./missing.so"], 1, ["./missing.so"]),
    (["--backend", "./folder.csv"], 1, ["./folder.csv"]),
    (["--plot", "picture.gif"], 2, [".svg, .png or .csv", "picture.gif"]),
    (["--plot", "svg"], 2, [".svg, .png or .csv"]),
    (["--plot", ".svg"], 2, [".svg, .png or .csv"]),
    (["--plot", ""], 2, ["--plot must be"]),
    (["--plot", "missing/picture.csv"], 1, ["missing/picture.csv", "No such file"]),
    (["--plot", "folder.csv"], 1, ["directory"]),
    (["--plot", "x" * 300 + ".csv"], 1, ["too long"]),
    (["--hidden", "65536", "--points", "10000000", "--batch", "10000000"], 1, ["GB", "use a smaller --hidden"]),
    (["--ponits", "50"], 2, ["--ponits", "did you mean --points?"]),
    (["--datasets=xor"], 2, ["did you mean --dataset?"]),
    (["--lr", "0.1"], 2, ["did you mean --rate?"]),
    (["--learning-rate=0.1"], 2, ["did you mean --rate?"]),
    (["--learning_rate", "0.1"], 2, ["did you mean --rate?"]),
    (["--device", "cpu"], 2, ["did you mean --backend?"]),
    (["-points", "50"], 2, ["did you mean --points?"]),
    (["--zzzzzzzzzzzz"], 2, ["no option", "--help"]),
    (["--" + "a" * 5000], 2, ["no option", "--help"]),
    (["--"], 2, ["no option"]),
    (["--\x1b[31mred\x07"], 2, ["no option"]),
    (["50"], 2, ["not an option", "--help"]),
    ([""], 2, ["not an option"]),
    (["--quiet=yes"], 2, ["takes no value"]),
    (["--help", "--rate", "x"], 2, ["number above 0"]),
]


def wrong_input():
    os.mkdir("folder.csv")
    for arguments, status, words in WRONG:
        shown = " ".join(a if len(a) < 40 else a[:20] + "..." for a in arguments).replace("\x1b", "ESC").replace("\x07", "BEL")
        before = sorted(os.listdir("."))
        result = run(*arguments, *([] if "--help" in arguments else ["--epochs", "1"]))
        text = sentence(result)
        check(f"refused: {shown or '(empty)'}",
              result.returncode == status and result.stdout == b"" and all(word in text for word in words)
              and text.count("\n") == 0 and "\x1b" not in text and len(text) < 400
              and sorted(os.listdir(".")) == before,
              (result.returncode, result.stdout[:80], text))
    check("no option is near one of 5000 letters", "did you mean" not in sentence(run("--" + "a" * 5000)))
    os.rmdir("folder.csv")


def backends():
    listed = run("--list-backends")
    lines = listed.stdout.decode().splitlines()
    there = {line.split()[0]: "not available" not in line for line in lines}
    check("--list-backends exits 0 and shows cpu and simple as available",
          listed.returncode == 0 and there.get("cpu") is True and there.get("simple") is True, lines)
    for name, available in there.items():
        if available:
            continue
        result = run("--backend", name, *FAST)
        check(f"backend {name}, not available: exit 1, a sentence, no lines",
              result.returncode == 1 and result.stdout == b"" and name in sentence(result), result)
    result = run(*FAST, env={"MT_ISA": "none"})
    check("an instruction set that no build has: exit 1, and a sentence that names what there is",
          result.returncode == 1 and result.stdout == b"" and "use one of base" in sentence(result), result)
    for dataset in ["simple", "spiral"]:
        result = run("--backend", "simple", "--dataset", dataset, "--hidden", "4", "--epochs", "2")
        check(f"backend simple trains {dataset}", result.returncode == 0 and result.stdout.count(b"\n") == 2, result)


# ---- what a good run prints ----

CLASSIC = re.compile(r"^Epoch  (\d+)  loss  (\S+) correct (\d+)$")
TIMED = re.compile(r"^Epoch (\d+) \| Loss: (\S+) \| Correct: (\d+) \| Average time per epoch: \d+\.\d+s$")


def epochs_of(output, pattern=CLASSIC):
    found = [pattern.match(line) for line in output.decode().splitlines()]
    return None if None in found else [int(match[1]) for match in found]


def lines():
    result = run("--hidden", "10")
    check("500 epochs print 0, 10, ..., 490 and 499", epochs_of(result.stdout) == [*range(0, 500, 10), 499],
          result.stdout[:200])
    check("one line on stderr says seed, backend, threads, instruction set",
          re.fullmatch(r"seed 1, backend cpu, threads \d+, instruction set \S+\n", result.stderr.decode()), result.stderr)
    rows = [CLASSIC.match(line) for line in result.stdout.decode().splitlines()]
    check("losses have at most 9 digits and are finite",
          all(math.isfinite(float(row[2])) and f"{float(row[2]):.9g}" == row[2] for row in rows), result.stdout[:200])
    check("correct lies between 0 and 50", all(0 <= int(row[3]) <= 50 for row in rows))
    for epochs, every, expected in [(1, 10, [0]), (2, 10, [0, 1]), (10, 10, [0, 9]), (11, 10, [0, 10]), (12, 5, [0, 5, 10, 11]),
                                    (4, 1, [0, 1, 2, 3]), (3, 1000, [0, 2])]:
        result = run("--hidden", "8", "--epochs", str(epochs), "--every", str(every))
        check(f"{epochs} epochs, every {every}: {expected}", epochs_of(result.stdout) == expected, result.stdout)
    untrained = run("--epochs", "0", "--hidden", "8")
    check("--epochs 0 prints the untrained line", untrained.returncode == 0 and epochs_of(untrained.stdout) == [0], untrained)
    check("training changes it", untrained.stdout != run("--epochs", "1", "--hidden", "8").stdout)
    quiet = run("--quiet", *FAST)
    check("--quiet leaves stderr empty", quiet.returncode == 0 and quiet.stderr == b"" and quiet.stdout != b"", quiet)
    mean = run("--report-loss", "mean-epoch", "--batch", "7", *FAST)
    check("--report-loss mean-epoch", mean.returncode == 0 and mean.stdout != run("--batch", "7", *FAST).stdout, mean)
    fused, parts = (csv.DictReader(io.StringIO(run(*more, "--log", "csv", *FAST).stdout.decode())) for more in ([], ["--unfused"]))
    check("--unfused trains as without it, up to roundings",
          [math.isclose(float(a["loss"]), float(b["loss"]), rel_tol=1e-4) for a, b in zip(fused, parts, strict=True)] == 3 * [True])
    whole = ["--batch", "50", "--log", "csv", *FAST]
    sums = [float(row["loss"]) for row in csv.DictReader(io.StringIO(run(*whole).stdout.decode()))]
    means = [float(row["loss"]) for row in
             csv.DictReader(io.StringIO(run("--report-loss", "mean-epoch", *whole).stdout.decode()))]
    check("with one batch an epoch the sum is 50 times the mean",
          all(math.isclose(s, 50 * m, rel_tol=1e-5) for s, m in zip(sums, means)) and len(sums) == len(means) == 3,
          (sums, means))
    check("a batch larger than the data set means all of it",
          run("--batch", "10000000", *FAST).stdout == run("--batch", "50", *FAST).stdout)
    for points in ["1", "2", "3"]:
        for dataset in ["xor", "spiral"]:
            result = run("--points", points, "--dataset", dataset, *FAST)
            check(f"{points} points of {dataset}", result.returncode == 0 and epochs_of(result.stdout) == [0, 10, 11], result)
    small = run("--hidden", "1", "--epochs", "1")
    check("hidden 1", small.returncode == 0 and epochs_of(small.stdout) == [0], small)


def spelling():
    reference = run("--dataset", "xor", "--points", "30", "--hidden", "8", "--rate", "0.1", "--epochs", "3").stdout
    check("--option=value", reference ==
          run("--dataset=xor", "--points=30", "--hidden=8", "--rate=0.1", "--epochs=3").stdout)
    check("minitorch's upper-case options", reference ==
          run("--DATASET", "xor", "--PTS", "30", "--HIDDEN", "8", "--RATE", "1e-1", "--BACKEND", "cpu", "--epochs", "3").stdout)
    check("data set names in any case", reference ==
          run("--dataset", "XoR", "--points", "30", "--hidden", "8", "--rate", "0.1", "--epochs", "3").stdout)
    check("the last of two wins", reference ==
          run("--dataset", "diag", "--dataset", "xor", "--points", "30", "--hidden", "8", "--rate", "0.1", "--epochs", "3").stdout)
    version = run("--version")
    check("--version", version.returncode == 0 and re.fullmatch(rb"run_fast .*\d+\.\d+\.\d+\n", version.stdout), version)
    help_text = run("--help")
    text = help_text.stdout.decode()
    check("--help goes to stdout", help_text.returncode == 0 and help_text.stderr == b"" and "[default: 0.05]" in text)
    check("--help fits 80 columns", max(map(len, text.splitlines())) <= 80,
          [line for line in text.splitlines() if len(line) > 80])
    check("-h is --help", run("-h").stdout == help_text.stdout)
    options = set(re.findall(r"--[A-Za-z][A-Za-z-]*", text))
    check("--help names minitorch's options too", {"--PTS", "--HIDDEN", "--RATE", "--BACKEND", "--DATASET", "--PLOT"} <= options)
    if MAN_PAGE:
        with open(MAN_PAGE, encoding="utf-8") as page:
            manual = set(re.findall(r"--[A-Za-z][A-Za-z-]*", page.read()))
        missing = (options ^ manual) - {"--option"}
        check("the man page and --help name the same options", not missing, missing)


def same_bytes():
    for extra in [[], ["--hidden", "100", "--points", "300", "--batch", "128", "--optimizer", "adam", "--rate", "0.01"],
                  ["--hidden", "300", "--report-loss", "mean-epoch", "--dataset", "circle"]]:
        outputs = {run("--threads", threads, "--epochs", "20", *extra).stdout for threads in ["1", "2", "7"]}
        check(f"threads 1, 2 and 7 print the same bytes {extra}", len(outputs) == 1 and outputs != {b""}, outputs)
    used = {run("--threads", "2", *FAST, env={"OMP_NUM_THREADS": number}).stderr for number in ["1", "2"]}
    check("--threads beats OMP_NUM_THREADS", len(used) == 1 and re.search(b"threads [12],", *used), used)  # 1: serial build
    check("two runs are the same", run(*FAST).stdout == run(*FAST).stdout)
    check("two seeds are not", run(*FAST).stdout != run("--seed", "2", *FAST).stdout)
    largest = run("--seed", "18446744073709551615", *FAST)
    check("the largest seed", largest.returncode == 0 and b"seed 18446744073709551615," in largest.stderr, largest)
    csv_runs = {run("--log", "csv", "--threads", "2", *FAST).stdout for _ in range(2)}
    check("two csv logs are the same", len(csv_runs) == 1)

    def without_times(output):
        rows = [json.loads(line) for line in output.splitlines()]
        for row in rows:
            del row["ms_per_epoch"]
        return rows
    check("two json logs differ in times only",
          without_times(run("--log", "json", *FAST).stdout) == without_times(run("--log", "json", *FAST).stdout))


def formats():
    timed = run("--log", "timed", *FAST)
    check("timed lines", epochs_of(timed.stdout, TIMED) == [0, 10, 11], timed.stdout)
    table = run("--log", "csv", "--dataset", "diag", "--seed", "9", *FAST)
    rows = list(csv.DictReader(io.StringIO(table.stdout.decode())))
    check("csv has a header and a row a line",
          [row["epoch"] for row in rows] == ["0", "10", "11"] and
          all(row["seed"] == "9" and row["backend"] == "cpu" and row["dataset"] == "diag" and int(row["threads"]) >= 1 and
              row["isa"] and None not in row and 0 <= int(row["correct"]) <= int(row["points"]) for row in rows), rows)
    check("csv says nothing on stderr", table.stderr == b"", table.stderr)
    objects = run("--log", "json", "--stats", "--seed", "9", *FAST)
    rows = [json.loads(line) for line in objects.stdout.splitlines()]
    check("json: one object a line", [row.get("epoch") for row in rows] == [0, 10, 11, None] and
          all(row["seed"] == 9 and row["backend"] == "cpu" and row["threads"] >= 1 and row["isa"] for row in rows), rows)
    check("json: the last object is the statistics",
          {"stats", "ms_per_epoch", "steps_per_second", "peak_bytes", "steady_allocations", "kernels"} <= set(rows[-1]) and
          rows[-1]["ms_per_epoch"] > 0 and rows[-1]["peak_bytes"] > 0, rows[-1])
    check("json says nothing on stderr", objects.stderr == b"", objects.stderr)
    check("nothing is allocated after the first epoch", rows[-1]["steady_allocations"] == 0, rows[-1])
    classic = run(*FAST)
    same = [(int(m[1]), float(m[2]), int(m[3])) for m in map(CLASSIC.match, classic.stdout.decode().splitlines())]
    plain = [json.loads(line) for line in run("--log", "json", *FAST).stdout.splitlines()]
    check("classic and json tell the same", same == [(row["epoch"], row["loss"], row["correct"]) for row in plain])
    stats = run("--stats", "--quiet", *FAST)
    check("--stats tells on stderr, --quiet or not",
          all(word in stats.stderr for word in [b"ms an epoch", b"steps a second", b"peak bytes", b"steady allocations",
                                                b"threads", b"instruction set", b"kernels"]), stats.stderr)
    check("--stats leaves stdout alone", stats.stdout == classic.stdout)


def divergence():
    result = run("--rate", "1e30", "--hidden", "8")
    check("a loss that is not finite: exit 1, one sentence with the epoch and --rate",
          result.returncode == 1 and re.fullmatch(r"run_fast: the loss became \S+ by epoch \d+ .*--rate.*", sentence(result)) and
          0 < result.stdout.count(b"\n") < 51, result)
    for log in ["classic", "timed", "csv"]:
        result = run("--rate", "1e30", "--hidden", "8", "--log", log)
        check(f"{log} writes nan for it, without a sign", b"nan" in result.stdout and b"-nan" not in result.stdout + result.stderr,
              result)
    result = run("--rate", "1e30", "--hidden", "8", "--log", "json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    check("json writes null for it", result.returncode == 1 and rows[-1]["loss"] is None, rows)


# ---- plots ----

def plots():
    result = run("--plot", "p.csv", "--report-loss", "mean-epoch", *FAST)
    with open("p.csv", newline="", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    parts = {part: [row for row in rows if row["part"] == part] for part in ["region", "point", "loss"]}
    check("--plot FILE.csv: regions, points and the loss",
          result.returncode == 0 and len(parts["region"]) == 101 * 101 and len(parts["point"]) == 50 and
          len(parts["loss"]) == 12 and sum(map(len, parts.values())) == len(rows) and
          all(0 <= float(row["value"]) <= 1 for row in parts["region"] + parts["point"]), result)
    last = CLASSIC.match(result.stdout.decode().splitlines()[-1])
    right = sum((float(row["value"]) > 0.5) == (row["label"] == "1") for row in parts["point"])
    check("its points agree with the last line", right == int(last[3]), (right, last[0]))
    check("its loss agrees with the last line", parts["loss"][-1]["value"] == last[2], (parts["loss"][-1], last[0]))
    check("a plot is readable as any new file", stat.S_IMODE(os.stat("p.csv").st_mode) == 0o666 & ~current_umask())
    check("nothing else is left", os.listdir(".") == ["p.csv"], os.listdir("."))
    with open("old.csv", "w", encoding="ascii") as file:
        file.write("old")
    os.symlink("old.csv", "link.csv")
    run("--plot", "link.csv", *FAST)
    check("a link is followed", os.path.islink("link.csv") and os.path.getsize("old.csv") > 1000)
    with open("old.csv", "w", encoding="ascii") as file:
        file.write("old")
    os.mkdir("sub")
    os.symlink("sub/new.csv", "dangling.csv")
    os.symlink(os.path.abspath("dangling.csv"), "sub/chain.csv")
    result = run("--plot", "sub/chain.csv", *FAST)
    check("a link to nothing is followed, and the file made where it points", result.returncode == 0 and
          os.path.islink("dangling.csv") and os.path.islink("sub/chain.csv") and os.path.isfile("sub/new.csv") and
          sorted(os.listdir("sub")) == ["chain.csv", "new.csv"], (result, os.listdir("sub")))
    os.symlink("nowhere/new.csv", "lost.csv")
    os.symlink("loop.csv", "loop.csv")
    for name, words in [("lost.csv", "No such file"), ("loop.csv", "symbolic links")]:
        result = run("--plot", name, *FAST)
        check(f"{name}: a link that leads nowhere is refused and stays", result.returncode == 1 and result.stdout == b"" and
              words in sentence(result) and os.path.islink(name), result)
    failed = run("--plot", "old.csv", "--rate", "1e30", "--hidden", "8")
    with open("old.csv", encoding="ascii") as file:
        check("a failed run leaves the old file as it was", failed.returncode == 1 and file.read() == "old")
    os.mkfifo("pipe.csv")
    check("a pipe is not replaced", run("--plot", "pipe.csv", *FAST).returncode == 1 and
          stat.S_ISFIFO(os.stat("pipe.csv").st_mode))
    empty = os.path.abspath("empty")
    os.mkdir(empty)
    missing = run("--plot", "p.svg", *FAST, env={"PATH": empty})
    check("without gnuplot: exit 1 before training, and csv is named as the way out",
          missing.returncode == 1 and missing.stdout == b"" and "FILE.csv" in sentence(missing), missing)
    check("csv needs no gnuplot", run("--plot", "p.csv", *FAST, env={"PATH": empty}).returncode == 0)
    fake = os.path.join(empty, "gnuplot")
    with open(fake, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\necho 'line 1: this gnuplot is broken' >&2\nexit 3\n")
    os.chmod(fake, 0o755)
    broken = run("--plot", "p.svg", *FAST, env={"PATH": empty})
    check("a gnuplot that fails is quoted, without advice to install it", broken.returncode == 1 and broken.stdout == b"" and
          "this gnuplot is broken" in sentence(broken) and "install" not in sentence(broken) and not os.path.exists("p.svg"), broken)
    with open(fake, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nkill -9 $$\n")
    killed = run("--plot", "p.svg", *FAST, env={"PATH": empty})
    check("a gnuplot that a signal ends: which one, and no advice to install it", killed.returncode == 1 and
          "signal 9 (Killed" in sentence(killed) and "install" not in sentence(killed) and not os.path.exists("p.svg"), killed)
    if os.getuid() != 0:
        os.mkdir("locked", 0o555)
        locked = run("--plot", "locked/p.csv", *FAST)
        check("an unwritable directory: exit 1 before training", locked.returncode == 1 and locked.stdout == b"", locked)
    check("no temporary file is left", not [name for name in os.listdir(".") if name.startswith(".")], os.listdir("."))
    if not shutil.which("gnuplot"):
        print("skip  SVG and PNG: gnuplot is not installed")
        return
    strange = "a'b \"c; system('touch hacked') `touch hacked` $(touch hacked) %d\n.svg"
    for name, start in [("p.svg", b"<?xml"), ("p.png", b"\x89PNG"), ("P.SVG", b"<?xml"), (strange, b"<?xml")]:
        result = run("--plot", name, "--dataset", "spiral", *FAST)
        good = result.returncode == 0 and sentence(result) == ""
        if good:
            with open(name, "rb") as file:
                content = file.read()
            good = content.startswith(start) and len(content) > 5000 and (start != b"<?xml" or b"</svg>" in content)
        check(f"--plot {name!r}", good, result)
    for what, options, has in [("wrong points", ["--epochs", "1"], "wrong"), ("none wrong", ["--epochs", "300", "--hidden", "20"], None)]:
        run("--plot", "legend.svg", "--dataset", "simple", "--rate", "0.5", *options)
        with open("legend.svg", encoding="utf-8") as file:
            text = file.read()
        check(f"the legend of a picture with {what}", (">wrong<" in text) == bool(has), text[-200:])
    for what, options, power in [("less than two decades", ["--epochs", "3"], False),
                                 ("more", ["--epochs", "1000", "--optimizer", "adam", "--rate", "0.01"], True)]:
        run("--plot", "axis.svg", "--dataset", "xor", "--report-loss", "mean-epoch", *options)
        with open("axis.svg", encoding="utf-8") as file:
            small = re.search(r">\s*(0\.0+1|1e-\d+)<", file.read())
        check(f"the axis of a loss that spans {what}", bool(small) == power, small)
    check("a file name is never run", not os.path.exists("hacked"), os.listdir("."))
    for extra in [["--epochs", "0"], ["--points", "1"], ["--points", "5000", "--epochs", "1"], ["--init", "zeros"]]:
        result = run("--plot", "q.svg", *FAST, *extra)
        check(f"a picture with {' '.join(extra)}", result.returncode == 0 and sentence(result) == "", result)
    check("no temporary file is left by pictures", not [name for name in os.listdir(".") if name.startswith(".")],
          os.listdir("."))


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


# ---- signals and streams ----

def resident(pid):
    """Bytes of memory that a process has touched."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def signals():
    for number in [signal.SIGINT, signal.SIGTERM]:
        signal.signal(number, signal.SIG_DFL)  # in the background of a script it is ignored, and would be in the programs
        with subprocess.Popen([PROGRAM, "--epochs", "1000000000", "--every", "1000000000", "--hidden", "8", "--plot", "no.csv"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            first = process.stdout.readline()
            time.sleep(0.2)
            process.send_signal(number)
            rest, errors = process.communicate(timeout=LIMIT)
            ended = epochs_of(first + rest)
            check(f"{number.name} ends it with 130 after a last line",
                  process.returncode == 130 and ended is not None and len(ended) == 2 and ended[1] > 0 and
                  not os.path.exists("no.csv"), (process.returncode, rest, errors))
        ignoring = subprocess.Popen([PROGRAM, "--epochs", "1000000000", "--hidden", "8"], stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
        with ignoring as process:
            process.stdout.readline()
            process.send_signal(number)
            more = [process.stdout.readline() for _ in range(100)]
            process.kill()
            check(f"{number.name} that is ignored from the start stays ignored", all(more), more[-1])
        # Weights that take seconds to draw: --hidden 12000 of simple; the signal comes once they are being written.
        with subprocess.Popen([PROGRAM, "--backend", "simple", "--hidden", "12000", "--log", "csv"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            while process.poll() is None and resident(process.pid) < 80e6:
                time.sleep(0.001)
            process.send_signal(number)
            start = time.monotonic()
            output, errors = process.communicate(timeout=LIMIT)
            check(f"{number.name} while weights are drawn ends it at once, with a sentence", process.returncode == 130 and
                  output == b"" and errors == b"run_fast: interrupted before training began\n" and
                  time.monotonic() - start < 10, (process.returncode, output, errors, time.monotonic() - start))
    with subprocess.Popen([PROGRAM, "--points", "100000", "--epochs", "1000000000", "--hidden", "200", "--log", "json", "--stats"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        first = process.stdout.readline()  # so it trains: the line of the untrained model, or of the first epoch
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=LIMIT)
        rows = [json.loads(line) for line in (first + output).splitlines()]
        check("interrupted within an epoch: the line and the statistics are whole",
              process.returncode == 130 and len(rows) >= 2 and "stats" in rows[-1], (process.returncode, output, errors))


# Runs a program in a group with one processor's time and 100 MB, as its /proc tells it: $1 and $2 stand in for two files.
IN_CONTAINER = 'mount --bind "$1" /proc/$$/cgroup && mount --bind "$2" /proc/$$/mountinfo && shift 2 && exec "$@"'


def container():
    files = {"cgroup": "0::/a/b\n", "mountinfo": "31 23 0:28 / %s/fs rw - cgroup2 cgroup2 rw\n" % os.getcwd(),
             "fs/a/cpu.max": "100000 100000\n", "fs/a/memory.max": "104857600\n", "fs/a/memory.current": "0\n"}
    os.makedirs("fs/a/b")
    for name, text in files.items():
        with open(name, "w", encoding="ascii") as stream:
            stream.write(text)
    command = ["unshare", "-m", "sh", "-c", IN_CONTAINER, "sh", "cgroup", "mountinfo"]
    if shutil.which("unshare") is None or subprocess.run(command + ["true"], stderr=subprocess.DEVNULL).returncode != 0:
        print("not checked: a container's limits, since no file of /proc can be replaced here (it takes root and a namespace)")
    else:
        usual = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        result = subprocess.run(command + [PROGRAM, "--hidden", "10000", "--epochs", "0"], capture_output=True, timeout=LIMIT)
        check("more memory than its container has: exit 1 and a sentence", result.returncode == 1 and
              re.search(r"need about 0\.8\d* GB, and this process may use 0\.105 GB", sentence(result)), result)
        result = subprocess.run(command + [PROGRAM, *FAST], capture_output=True, timeout=LIMIT, env=usual)
        check("as many threads as its container's quota", result.returncode == 0 and b"threads 1," in result.stderr, result)
        two = {**usual, "OMP_NUM_THREADS": "2"}
        result = subprocess.run(command + [PROGRAM, *FAST], capture_output=True, timeout=LIMIT, env=two)
        check("but OMP_NUM_THREADS is asked first", result.stderr == run(*FAST, env=two).stderr, result)
    shutil.rmtree("fs")
    os.unlink("cgroup")
    os.unlink("mountinfo")


def streams():
    if os.path.exists("/dev/full"):
        for arguments in [FAST, ["--help"], ["--version"], ["--list-backends"], ["--log", "csv", *FAST], ["--log", "json", *FAST]]:
            with open("/dev/full", "wb") as full:
                result = run(*arguments, stdout=full)
            check(f"/dev/full: exit 1 and a sentence ({arguments[0]} ...)",
                  result.returncode == 1 and "cannot write to standard output" in sentence(result), result)
    limited = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))}
    result = run("--plot", "large.csv", *FAST, **limited)
    check("a file beyond ulimit -f: exit 1, a sentence, nothing left", result.returncode == 1 and
          "large.csv" in sentence(result) and "too large" in sentence(result) and os.listdir(".") == [],
          (result, os.listdir(".")))
    with open("log.txt", "wb") as log:
        result = run("--log", "csv", "--every", "1", "--epochs", "200", "--hidden", "2", stdout=log, **limited)
    check("stdout beyond ulimit -f: exit 1 and a sentence", result.returncode == 1 and
          "cannot write to standard output" in sentence(result), result)
    os.remove("log.txt")
    ends = os.pipe()
    os.close(ends[0])
    result = run(*FAST, stdout=ends[1])
    os.close(ends[1])
    check("a closed pipe: exit 1 and a sentence", result.returncode == 1 and "cannot write" in sentence(result), result)
    closed = subprocess.run(["sh", "-c", '"$0" --hidden 8 --epochs 3 --plot c.csv >&-', PROGRAM], stderr=subprocess.PIPE,
                            timeout=LIMIT)
    check("stdout closed from the start: exit 1, and no file takes its place",
          closed.returncode == 1 and b"cannot write" in closed.stderr and not os.path.exists("c.csv"), closed)
    dumb = subprocess.run(["sh", "-c", '"$0" --hidden 8 --epochs 3 <&- 2>&-', PROGRAM], stdout=subprocess.PIPE, timeout=LIMIT)
    check("stdin and stderr closed: it runs", dumb.returncode == 0 and dumb.stdout.count(b"\n") == 2, dumb)


def main():
    for group in [wrong_input, backends, lines, spelling, same_bytes, formats, divergence, plots, signals, container, streams]:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            group()
            os.chdir("/")
    print(f"{checks} checks, {failures} failed")
    return 1 if failures else 0


sys.exit(main())
