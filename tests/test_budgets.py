#!/usr/bin/env python3
"""The compiled kernels keep their budgets, and a budget that is broken is told with kernel and figure.

    test_budgets.py CHECKER BUDGETS NVDISASM-OR-EMPTY OBJECT...

1. The kernels as they were built. 2. Each kind of limit set to what no kernel can keep: the checker must name a kernel, the figure
and the budget. 3. A row that no kernel has, a kernel that no row has, and a row that is no row.
"""
import os
import re
import shlex
import subprocess
import sys
import tempfile

checker, budgets, nvdisasm, objects = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
failures = 0


# The disassembler's answers are kept: nine checks ask for the same, and it takes seconds.
KEEPER = """#!/bin/sh
kept=%s/$(printf '%%s ' "$@" | cksum | tr ' ' -)
test -e "$kept" || { %s "$@" >"$kept.new" && mv "$kept.new" "$kept"; } || exit 1
cat "$kept"
"""
kept = tempfile.TemporaryDirectory()
if nvdisasm:
    keeper = os.path.join(kept.name, "nvdisasm")
    with open(keeper, "w", encoding="utf-8") as stream:
        stream.write(KEEPER % (shlex.quote(kept.name), shlex.quote(nvdisasm)))
    os.chmod(keeper, 0o755)


def check(table):
    command = [sys.executable, checker, table] + objects + (["--nvdisasm", keeper] if nvdisasm else [])
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def expect(what, done, status, text):
    global failures
    fine = done.returncode == status and re.search(text, done.stdout)
    failures += not fine
    print("%s %s" % ("ok   " if fine else "FAIL ", what) + ("" if fine else ": status %d\n%s" % (done.returncode, done.stdout)), flush=True)


real = check(budgets)
if real.returncode == 77:
    print(real.stdout)
    sys.exit(77)
print(real.stdout, end="")
expect("the kernels keep their budgets", real, 0, r"summary: \d+ kernels on sm_")
rows = open(budgets, encoding="utf-8").read()
with tempfile.TemporaryDirectory() as folder:
    table = os.path.join(folder, "budgets.txt")

    def with_table(what, text, wanted, status=1):
        with open(table, "w", encoding="utf-8") as stream:
            stream.write(text)
        expect(what, check(table), status, wanted)

    with_table("registers", re.sub(r"registers=\d+", "registers=3", rows), r"FAIL  product_tiles.*sm_\d+\): registers \d+, and the budget is 3")
    with_table("shared memory", re.sub(r"shared=\d+", "shared=16", rows), r"FAIL  product_tiles.*: shared \d+, and the budget is 16")
    if nvdisasm:
        with_table("the share of multiply-adds", re.sub(r"fma=[\d.]+", "fma=1.01", rows), r"multiply-adds are 0\.\d+ of a step along k, and the budget is 1\.01")
        with_table("shared loads", re.sub(r"lds=[\d.]+", "lds=0.001", rows), r"0\.\d+ shared loads for each multiply-add, and the budget is 0\.001")
        with_table("load widths", re.sub(r"loads=\d+", "loads=256", rows), r"no load of 256 bits")
    else:
        print("not checked: limits of the loops; there is no nvdisasm")
    with_table("a row without a kernel", "both no_such_kernel.* : registers=1\n" + rows, r"no kernel is called no_such_kernel")
    with_table("a kernel without a row", re.sub(r"(?m)^both.*$", "", rows), r"no row of the budgets is about it")
    with_table("a row that is no row", rows + "float x : colour=3\n", r"budgets.txt:\d+: a row is")
sys.exit(1 if failures else 0)
