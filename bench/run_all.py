#!/usr/bin/env python3
"""Runs every bench once, quickly: whether they run, and a first look. `meson compile -C build bench` calls it.

    run_all.py BUILD_DIRECTORY_OF_BENCH [--full]

The environment variable BENCH_PYTHON names the python that may have PyTorch, NumPy and JAX (default python3).
"""
import os
import subprocess
import sys

RUNS = [
    ["matmul_sweep", "--sizes", "64,128,256", "--batch", "1,2", "--openblas"],
    ["ops", "--python"],
    ["train", "--python"],
    ["scaling"],
    ["dispatch"],
    ["pool"],
    ["parallel_check", "--op", "matmul", "--shape", "512x512"],
    ["parallel_check", "--op", "sum", "--shape", "1000x1000", "--dim", "0"],
    ["parallel_check", "--op", "add", "--shape", "1000x1000", "--other", "1000"],
]


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--full"]):
        sys.exit(__doc__)
    folder, full, failed = os.path.abspath(sys.argv[1]), len(sys.argv) == 3, []
    missing = [name for name, *_ in RUNS if not os.path.isfile(os.path.join(folder, name))]
    if missing:
        sys.exit(f"run_all.py: {sys.argv[1]} has no program {missing[0]}; give the folder bench of a build directory, after "
                 "`meson compile -C BUILD`")
    for name, *options in RUNS:
        if options[-1:] == ["--python"]:
            options.append(os.environ.get("BENCH_PYTHON", "python3"))
        if not full and name != "parallel_check":
            options.append("--quick")
        print("\n$ " + " ".join([name, *options]), flush=True)
        if subprocess.run([os.path.join(folder, name), *options], check=False).returncode != 0:
            failed.append(name)
    if failed:
        sys.exit("failed: " + ", ".join(failed))


if __name__ == "__main__":
    main()
