#!/usr/bin/env python3
"""Runs nvcc for one .cu and keeps what its assembler reports beside the object: `nvcc_report.py OBJECT NVCC ARGUMENT...`.

The command is `NVCC ARGUMENT... -o OBJECT`. Beside OBJECT it leaves OBJECT.ptxas (registers, spills and shared memory of each
kernel), OBJECT.ptx, and OBJECT.sm_NN.cubin for each kind of card, which tests/check_budgets.py reads. Prints whatever else
nvcc says, and ends with its status.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

target, command = sys.argv[1], sys.argv[2:]
with tempfile.TemporaryDirectory() as folder:
    done = subprocess.run(command + ["-Xptxas", "-v", "--keep", "--keep-dir", folder, "-o", target],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    report, other = [], []
    for line in done.stdout.splitlines(keepends=True):
        (report if re.match(r"ptxas info|\s+\d+ bytes stack frame", line) else other).append(line)
    sys.stderr.write("".join(other))
    with open(target + ".ptxas", "w", encoding="utf-8") as stream:
        stream.writelines(report)
    for old in glob.glob(glob.escape(target) + ".sm_*.cubin"):
        os.remove(old)
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.cubin"))):
        shutil.move(path, "%s.%s.cubin" % (target, "sm_" + re.search(r"_(\d+[af]?)\.cubin$", path).group(1)))
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.ptx")))[-1:]:
        shutil.move(path, target + ".ptx")
sys.exit(done.returncode if done.returncode >= 0 else 1)
