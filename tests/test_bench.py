#!/usr/bin/env python3
"""The benches, from outside: they run quickly, their CSV and JSON can be read, wrong options are refused, a baseline is
compared, absent peers are told, parallel_check's answers change with shapes and threads, and the page of results can
be written. No time is checked.

Usage: test_bench.py BENCH_DIRECTORY PEERS_SCRIPT MAN_PAGE. Prints one line a check and exits 1 when any failed.
"""
import csv
import json
import math
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile

FOLDER, PEERS, MAN_PAGE = map(os.path.abspath, sys.argv[1:4])
LIMIT = 300  # instrumented builds are slow
HERE = tempfile.mkdtemp()
failures = 0


def check(name, good, detail=""):
    global failures
    failures += not good
    print(("ok    " if good else "FAIL  ") + name + ("" if good or not detail else f"\n      {detail!r}"), flush=True)
    return good


def run(program, *arguments, env=None):
    return subprocess.run([os.path.join(FOLDER, program), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=LIMIT, env={**os.environ, **(env or {})}, check=False)


def path(name):
    return os.path.join(HERE, name)


def read_json(name):
    with open(path(name), encoding="utf-8") as stream:
        return json.load(stream)


def read_csv(name):
    with open(path(name), encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


# ---- each program, quickly ----

QUICK = {
    "ops": ["--no-peers", "--only", "a", "--threads", "1"],
    "train": ["--no-peers", "--threads", "1"],
    "scaling": ["--threads", "2"],
    "dispatch": ["--threads", "1"],
    "pool": ["--threads", "1"],
    "matmul_sweep": ["--sizes", "5,16", "--batch", "1,2", "--openblas", "--threads", "1"],
}
for program, options in QUICK.items():
    result = run(program, "--quick", *options, "--csv", path(program + ".csv"), "--json", path(program + ".json"))
    if not check(f"{program}: runs", result.returncode == 0, result.stderr.decode()):
        continue
    machine, *rows = read_json(program + ".json")
    check(f"{program}: JSON tells the machine", machine["program"] == program and machine["fma_gflops"] > 0 and
          machine["copy_gbs"] > 0 and machine["read_gbs"] > 0 and machine["quick"] is True, machine)
    check(f"{program}: JSON has rows in order", rows and all(
        0 < row["best"] <= row["low"] <= row["seconds"] <= row["high"] and row["samples"] >= 3 for row in rows), rows)
    table = read_csv(program + ".csv")
    check(f"{program}: CSV has the same rows", len(table) == len(rows) and all(
        math.isclose(float(line["seconds"]), row["seconds"], rel_tol=1e-5) for line, row in zip(table, rows)), table)

works = {row["work"] for row in read_json("ops.json")[1:]}
check("ops: rows of the table, reductions and layouts", works >= {"add", "abs", "all all", "argmax dim 0", "add row"}, works)
threads = [row["threads"] for row in read_json("scaling.json")[1:]]
check("scaling: one and two threads", threads[:2] == [1, 2] or set(threads) == {1}, threads)
# Each figure beside the ceiling of its own threads; two measurements never give the same number.
if 2 in threads:
    ceiling = {row["threads"]: row["ceiling_rate"] for row in read_json("scaling.json")[1:] if row["work"] == "matmul"}
    check("scaling: each number of threads has its ceiling", ceiling[1] != ceiling[2], ceiling)
    result = run("matmul_sweep", "--quick", "--sizes", "8", "--batch", "1", "--threads", "2", "--json", path("two.json"))
    machine, *rows = read_json("two.json")
    ceiling = {row["engine"]: (row["threads"], row["ceiling_rate"] == machine["fma_gflops"]) for row in rows}
    check("matmul_sweep: simple is held to one thread", ceiling == {"cpu": (2, True), "simple": (1, False)}, ceiling)
output = run("scaling", "--quick", "--threads", "1").stdout.decode()
check("scaling: rates and shares", "GFLOP/s" in output and "GB/s" in output and " % of fma\n" in output, output)
check("train: rates and shares", all(row["gflops"] > 0 and row["percent"] > 0 for row in read_json("train.json")[1:]))
output = run("pool", "--quick", "--threads", "1").stdout.decode()
check("pool: rates of the additions", output.count("GB/s") == 4, output)
check("pool: the arena asks for no memory", "add, arena" in output and " 0 requests" in output, output)
sweep = read_csv("matmul_sweep.csv")
check("matmul_sweep: minitorch's columns come first", list(sweep[0])[:4] == ["size", "backend", "seconds", "gflops"], sweep[0])
check("matmul_sweep: sizes, batches, backends", {(r["size"], r["batch"], r["backend"]) for r in sweep} >= {
    (size, batch, name) for size in ("5", "16") for batch in ("1", "2") for name in ("cpu", "simple")}, sweep)
output = run("matmul_sweep", "--quick", "--sizes", "8", "--threads", "1").stdout.decode()
check("matmul_sweep: prints as minitorch does", "Timing summary\n" in output and "Size: 8\n    fast: " in output and
      "\n    slow: " in output, output)
usual = run("matmul_sweep", "--quick", "--backend", "cpu", "--csv", path("usual.csv"), "--threads", "1")
check("matmul_sweep: --quick has small sizes of its own", usual.returncode == 0 and
      [row["size"] for row in read_csv("usual.csv")] == ["16", "32", "64"], usual)
SHAPES = ["--quick", "--shapes", "--threads", "1"]
result = run("matmul_sweep", *SHAPES, "--csv", path("shapes.csv"), "--json", path("shapes.json"))
shapes = [row["shape"] for row in read_json("shapes.json")[1:]]
check("matmul_sweep: each product of --shapes has a name of its own", result.returncode == 0 and shapes == [
    "(10 x 100)(100 x 100)", "(10 x 100)(100 x 100) transposed", "(100 x 10) transposed (10 x 100)"], shapes)
table = read_csv("shapes.csv")
check("matmul_sweep: and a row of CSV", [row["shape"] for row in table] == shapes and all(
    row["size"] == "" and row["batch"] == "1" and float(row["gflops"]) > 0 for row in table), table)
check("matmul_sweep: which sizes have too", sweep[0]["shape"] == "1 x 5 x 5", sweep[0])
for other in (["--plot", path("plot.svg")], ["--sizes", "64,128"], ["--batch", "2"], ["--layouts"], ["--all"]):
    result = run("matmul_sweep", *SHAPES, *other)
    check(f"matmul_sweep --shapes {other[0]}: refused", result.returncode == 2 and other[0].encode() in result.stderr and
          not os.path.exists(path("plot.svg")), result.stderr)
if shutil.which("gnuplot"):
    strange = path("a'b\"; print 1 #.svg")
    result = run("matmul_sweep", "--quick", "--sizes", "4,8", "--threads", "1", "--plot", strange)
    drawn = open(strange, encoding="utf-8").read() if os.path.exists(strange) else ""
    check("matmul_sweep: draws into a file of any name", result.returncode == 0 and "</svg>" in drawn, result.stderr)
result = run("matmul_sweep", "--quick", "--sizes", "4", "--threads", "1", "--plot", path("plot.svg"), env={"PATH": HERE})
check("matmul_sweep: says that gnuplot is missing", result.returncode == 1 and b"gnuplot" in result.stderr and
      not os.path.exists(path("plot.svg")), result.stderr)

# ---- the baseline ----

# Enough for any machine: a baseline that was a thousand times faster, and one that was a thousand times slower.
machine, *rows = read_json("pool.json")
for name, factor in (("faster", 1e-3), ("slower", 1e3)):
    with open(path(name + ".json"), "w", encoding="utf-8") as stream:
        stream.write("[\n" + ",\n".join(json.dumps(row) for row in [machine] + [
            {**row, "seconds": row["seconds"] * factor} for row in rows]) + "\n]\n")
POOL = ["--quick", "--threads", "1", "--baseline"]
result = run("pool", *POOL, path("faster.json"))
check("baseline: what is slower is named", result.returncode == 0 and b"slower: add, arena" in result.stdout, result.stdout)
check("baseline: --check fails then", run("pool", *POOL, path("faster.json"), "--check").returncode == 1)
result = run("pool", *POOL, path("slower.json"), "--check")
check("baseline: what is faster passes", result.returncode == 0 and b"slower:" not in result.stdout, result.stdout)
for name, words in (("none.json", b"No such file"), ("", b"directory")):
    result = run("pool", *POOL, path(name))
    check(f"baseline: what cannot be read is told before anything is measured ({words.decode()})", result.returncode == 1 and
          b"cannot read the baseline" in result.stderr and words in result.stderr and result.stdout == b"", result)


def broken(name, text):
    """A run with such a baseline and --check."""
    with open(path("broken.json"), "w", encoding="utf-8") as file:
        file.write(text)
    done = run("pool", *POOL, path("broken.json"), "--check")
    check(f"baseline: {name} is told", done.returncode == 1 and b"cannot read the baseline" in done.stderr and
          done.stdout == b"", done)
    return done.stderr


with open(path("slower.json"), encoding="utf-8") as stream:
    whole = stream.read()
lines = whole.splitlines(keepends=True)
check("baseline: where it breaks off", b"breaks off after line 3" in broken("a file cut after a row", "".join(lines[:3])))
check("baseline: and within a row", b"breaks off after line 3" in broken("a file cut in a row", "".join(lines[:3]) + lines[3][:50]))
broken("a file without its end", whole[:-2])
broken("an empty file", "")
broken("a file without its beginning", "".join(lines[1:]))
broken("a second list behind the first", whole + whole)
broken("a number of threads that is none", whole.replace('"threads": 1', '"threads": 1e300'))
broken("a row without a shape", whole.replace('"shape"', '"form"'))
broken("a nested value", whole.replace('"threads": 1', '"threads": [1]'))
broken("a line too long", whole.replace('"cpu": "', '"cpu": "' + 3000 * "x"))
check("baseline: a line that is wrong", b"line 3 is not one" in broken("another list", '[\n{"a": "\\u00e9"},\n{"work": 3}\n]\n'))
with open(path("fewer.json"), "w", encoding="utf-8") as stream:
    stream.write(lines[0] + lines[1] + lines[2].rstrip(",\n") + "\n]\n")
result = run("pool", *POOL, path("fewer.json"), "--check")
check("baseline: rows that it lacks are named", result.returncode == 0 and b"1 figures compared" in result.stdout and
      result.stdout.count(b"not in the baseline: ") == len(rows) - 1 and
      f"not in the baseline: {rows[1]['work']} of {rows[1]['shape']}".encode() in result.stdout, result.stdout)
with open(path("other.json"), "w", encoding="utf-8") as stream:
    stream.write(whole.replace('"work": "', '"work": "other '))
result = run("pool", *POOL, path("other.json"))
check("baseline: one with nothing in common is told", result.returncode == 1 and b"no figure" in result.stderr, result.stderr)

# ---- a file that may not grow ----

os.mkdir(path("limited"))
result = subprocess.run([os.path.join(FOLDER, "matmul_sweep"), "--quick", "--sizes", ",".join(map(str, range(1, 41))), "--backend",
                         "cpu", "--threads", "1", "--json", path("limited/rows.json")], stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, check=False,
                        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
check("beyond ulimit -f: status 1, a sentence, nothing left", result.returncode == 1 and b"rows.json" in result.stderr and
      os.listdir(path("limited")) == [], (result.returncode, result.stderr, os.listdir(path("limited"))))

# ---- peers ----

# Every operation of the list has a line, a new one too.
result = run("ops", "--quick", "--no-peers", "--only", "tape ", "--elements", "1000", "--threads", "1", "--json", path("tape.json"))
names = []
for place in ("tensor/scalar/map_table.inc", "tensor/scalar/zip_table.inc", "autodiff/operations.inc"):
    with open(os.path.join(os.path.dirname(PEERS), "..", place), encoding="utf-8") as stream:
        names += re.findall(r"^MT_(?:MAP|ZIP|OPERATION)\((\w+)", stream.read(), re.M)
check("ops: each operation on a tape", result.returncode == 0 and len(names) > 60 and
      [row["work"] for row in read_json("tape.json")[1:]] == ["tape " + name for name in names], result.stderr)

ONE = ["--quick", "--only", "neg", "--threads", "1"]
result = run("ops", *ONE, "--python", path("no-python"))
check("peers: no python is no failure", result.returncode == 0 and b"torch: absent: no python" in result.stdout, result.stdout)
with open(path("peers.py"), "w", encoding="utf-8") as stream:
    stream.write("import sys, json\n"
                 "print(json.dumps({'torch': '9 \"x\"', 'no_numpy': 'gone', 'no_jax': 'far\\u00e9'}), flush=True)\n"
                 "for line in sys.stdin:\n"
                 "    if json.loads(line)['shape'] != '1000': sys.exit(0)\n"
                 "    print(json.dumps({'engine': 'torch', 'threads': 3, 'seconds': 1, 'low': 1, 'high': 1, 'best': 1,"
                 " 'samples': 3}), flush=True)\n")
result = run("ops", *ONE, "--python", sys.executable, "--peers", path("peers.py"), "--json", path("peers.json"))
rows = read_json("peers.json")[1:]
check("peers: answers become rows", [(row["seconds"], row["threads"]) for row in rows if row["engine"] == "torch"] ==
      [(1, 3)] and
      b'torch: 9 "x"' in result.stdout and b"numpy: absent: gone" in result.stdout, result.stdout)
check("peers: a python that ends early is told", result.returncode == 0 and b"peers.py ended" in result.stderr and
      len(rows) == 3, result.stderr)
hello = subprocess.run([sys.executable, PEERS, "2", "--quick"], input=b'{"work": "add", "shape": "10"}\n', timeout=LIMIT,
                       stdout=subprocess.PIPE, check=True).stdout.splitlines()
present = json.loads(hello[0])
check("peers: the script says who is there", all(name in present or "no_" + name in present
                                                for name in ("torch", "numpy", "jax")), hello)
check("peers: and each answers", [json.loads(line)["engine"] for line in hello[1:]] ==
      [name for name in ("torch", "numpy", "jax") if name in present], hello)
check("peers: and says its threads, NumPy one", all(answer["threads"] == (1 if answer["engine"] == "numpy" else 2)
                                                    for answer in map(json.loads, hello[1:])), hello)

# ---- wrong options ----

closed = os.pipe()
os.close(closed[0])
for program in [*QUICK, "parallel_check"]:
    result = subprocess.run([os.path.join(FOLDER, program), "--help"], stdin=subprocess.DEVNULL, stdout=closed[1],
                            stderr=subprocess.PIPE, timeout=LIMIT, check=False)
    check(f"{program}: a closed pipe is told", result.returncode == 1 and b"cannot write" in result.stderr, result)
    for options in (["--no-such"], ["--threads", "0"], ["stray"], ["--threads"]):
        result = run(program, *options)
        check(f"{program} {' '.join(options)}: status 2", result.returncode == 2 and result.stderr, result)
    result = run(program, "--help")
    check(f"{program} --help", result.returncode == 0 and b"--threads" in result.stdout, result)
for program, options in [("matmul_sweep", ["--sizes", "0"]), ("matmul_sweep", ["--batch", "1,x"]), ("pool", ["--check"]),
                         ("parallel_check", ["--op", "fly"]), ("parallel_check", ["--shape", "3x"]),
                         ("parallel_check", ["--shape", "99999x99999"]), ("parallel_check", ["--dim", "2"]),
                         ("parallel_check", ["--shape", "8"])]:
    result = run(program, *options)
    check(f"{program} {' '.join(options)}: status 2", result.returncode == 2 and result.stderr, result)
result = run("pool", "--quick", "--csv", path("same"), "--json", path("same"))
check("--csv and --json of one file: status 2", result.returncode == 2 and b"both name" in result.stderr and
      not os.path.exists(path("same")), result)
result = run("ops", "--quick", "--no-peers", "--threads", "1", "--elements", "16000000")
check("ops: that --quick leaves the size out is said", result.returncode == 1 and b"without --quick" in result.stderr, result)
check("parallel_check: shapes that do not fit", run("parallel_check", "--other", "3x3").returncode == 1)

# ---- the man page ----

OPTION = r"--[a-z][a-z-]*"
with open(MAN_PAGE, encoding="utf-8") as stream:
    manual = stream.read()
differ = set(re.findall(OPTION, manual)) ^ set(re.findall(OPTION, run("matmul_sweep", "--help").stdout.decode()))
check("matmul_sweep: the man page and --help name the same options", not differ - {"--option"}, differ)
check("matmul_sweep: the man page names the columns of --csv in their order",
      ", ".join(list(sweep[0])[:-1]) + " and " + list(sweep[0])[-1] in " ".join(manual.split()), list(sweep[0]))

# ---- parallel_check ----


def ask(*options):
    result = run("parallel_check", "--json", *options)
    if result.returncode != 0:
        check(f"parallel_check {' '.join(options)}", False, result.stderr)
        return {}
    return json.loads(result.stdout)


one = ask("--shape", "512x512", "--threads", "1")
two = ask("--shape", "512x512", "--threads", "2")
heard, serial = "threads" in one, ask("--op", "add", "--threads", "2").get("allowed") == 1
check("parallel_check: large products pack", one["path"] == two["path"] == "packed", one)
check("parallel_check: small ones do not", ask("--shape", "16x16", "--threads", "2")["path"] == "direct")
check("parallel_check: nor do few rows of a transpose", ask("--shape", "4x512", "--other", "512x64", "--other-transposed")["path"]
      == "dot")
check("parallel_check: one thread", "none is parallel" in one["loop"] and one["allowed"] == 1, one["loop"])
check("parallel_check: a set's width", one["bits"] == 32 * one["lanes"] and
      ask("--shape", "512x512", "--threads", "1").get("isa") == one["isa"], one)
base = run("parallel_check", "--json", env={"MT_ISA": "base"})
check("parallel_check: another instruction set", json.loads(base.stdout)["isa"] == "base" and
      json.loads(base.stdout)["bits"] == 128, base.stdout)
if not serial:
    check("parallel_check: two threads share C", "shared by 2 threads" in two["loop"] and two["cut"] != one["cut"], two)
    long = [ask("--shape", "64x2000", "--other", "2000x64", "--threads", threads) for threads in "12"]
    check("parallel_check: two threads share a long k", "over 2 cells of k" in long[1]["loop"] and
          long[1]["shared workspace"] > 0 == long[0]["shared workspace"], long)
if heard:
    check("parallel_check: packing was heard", "packed" in one and
          "pack_b" in ask("--shape", "512x512", "--other", "512x512", "--other-transposed", "--threads", "1") and
          "packed" not in ask("--shape", "16x16"), one)
    row = ask("--op", "add", "--shape", "100x200", "--other", "200", "--threads", "1")
    check("parallel_check: a broadcast row is a tile of rows", row["tile"].startswith("3 calls") and
          row["tile"].endswith("of 200 to 200, 40 the other way") and
          row["loops"] == "2 after joining: 100 x 200" and row["path"] == "general", row)
    flat = ask("--op", "add", "--shape", "100x200", "--threads", "1")
    check("parallel_check: without one, one long row", flat["loops"] == "1 after joining: 20000" and
          flat["path"] == "contiguous", flat)
    columns = ask("--op", "sum", "--shape", "2000x1000", "--dim", "0", "--threads", "2")
    fewer = ask("--op", "sum", "--shape", "200x1000", "--dim", "0", "--threads", "2")
    inner = ask("--op", "sum", "--shape", "1000x1000", "--dim", "1", "--threads", "2")
    whole = ask("--op", "sum", "--shape", "1000x1000", "--threads", "2")
    check("parallel_check: sums by columns, rows, all", columns["path"].startswith("outer") and "columns" in columns and
          inner["path"].startswith("inner") and whole["path"].startswith("all") and "fold" in whole, columns)
    check("parallel_check: nothing is shared", all("no two threads" in answer["private"] for answer in (one, two, row)))
if heard and not serial:
    check("parallel_check: threads that worked", one["threads"] == 1 and two["threads"] == columns["threads"] ==
          inner["threads"] == whole["threads"] == 2, two)
    small = ask("--op", "add", "--shape", "100", "--threads", "2")
    check("parallel_check: small work stays on one", small["threads"] == 1 and "none" in small["loop"], small)
    wide = ask("--op", "sum", "--shape", "100x10000", "--dim", "0", "--threads", "2")
    places = ask("--op", "argmax", "--shape", "100x10000", "--dim", "0", "--threads", "2")
    check("parallel_check: a block of columns is cut in runs of rows, which the caller joins",
          columns["loop"].startswith("over runs of rows") and "one thread joins" in columns["private"], columns)
    check("parallel_check: of fewer rows each thread takes its own columns, and nothing is joined",
          fewer["loop"].startswith("over 2 blocks of at most 512 columns") and "each task" in fewer["private"], fewer)
    check("parallel_check: many columns are cut in blocks, rows by results, one row in chunks",
          "blocks of at most" in wide["loop"] and "blocks of at most" in places["loop"] and
          "over 1000 results" in inner["loop"] and "chunks of each of 1 rows" in whole["loop"], wide)
    for options, loop in ((["sum", "--shape", "20x100x100", "--dim", "1", "--threads", "4"], "over 20 blocks"),
                          (["sum", "--shape", "4096x1024", "--dim", "0", "--threads", "2"], "over runs of rows of each of 1 "),
                          (["argmax", "--shape", "1000x1000", "--threads", "2"], "over chunks of each of 1 rows"),
                          (["max", "--shape", "3x400000", "--dim", "1", "--threads", "8"], "over chunks of each of 3 rows")):
        answer = ask("--op", *options)
        check("parallel_check: the plan says how %s is cut" % options[0], answer["loop"].startswith(loop), answer)
    streamed = ask("--op", "add", "--shape", "6000x6000", "--threads", "2")
    check("parallel_check: what is streamed is computed beside the result", "streamed" in streamed["stores"] and
          "to the result" in ask("--op", "add", "--shape", "100x200", "--threads", "2")["stores"], streamed)

# ---- the page of results ----

os.mkdir(path("docs"))
result = subprocess.run([sys.executable, os.path.join(os.path.dirname(PEERS), "results.py"), os.path.dirname(FOLDER),
                         path("docs"), "--quick", "--threads", "1"], stderr=subprocess.PIPE, timeout=LIMIT, check=False,
                        env={**os.environ, "BENCH_PYTHON": path("no-python")})
page = open(path("docs/results.md"), encoding="utf-8").read() if result.returncode == 0 else ""
check("results: the page has every part", all(part in page for part in (
    "### diag", "### Hidden", "## Matrix products", "## Operations", "## The arena", "## Parallel diagnostics",
    "| gpu |", "load average", "torch: absent", "spread |", "OpenBLAS: ", "about a microsecond a call")), result.stderr)
check("results: diagnostics show the whole command", page.count("--threads 2`") == 5 and page.count("--threads 1`") == 1, page)
for script in ("results.py", "run_all.py"):
    result = subprocess.run([sys.executable, os.path.join(os.path.dirname(PEERS), script), path("docs"),
                             *[path("docs")] * (script == "results.py")], stderr=subprocess.PIPE, timeout=LIMIT, check=False)
    check(f"{script}: a wrong build folder is told", result.returncode == 1 and script.encode() in result.stderr and
          b"Traceback" not in result.stderr, result.stderr)

shutil.rmtree(HERE)
sys.exit(1 if failures else 0)
