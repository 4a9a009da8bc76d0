#!/usr/bin/env python3
"""Breaks one CUDA kernel, and sees the test of reductions fail on gpu-sim and pass on cpu.

    test_broken_kernel.py SOURCE-ROOT BUILD-ROOT --libraries LIB... --cc CC... --sim COMMAND...

The kernel is a copy of ops_cuda/folds.cuh without its barriers, which the simulator must name as a race with a line of that
file; the copy as it stands must pass. tests/mutate.py does this with every barrier and bound of every kernel, and a test of
its own; here it is the suite that must notice. LIB is the library and what it links with.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=300,
                          **options)


def must(command):
    done = run(command)
    if done.returncode != 0:
        sys.exit("FAIL  %s\n%s" % (" ".join(command), done.stdout[-4000:]))


def main():
    arguments, lists = sys.argv[1:], {}
    for name in ("--sim", "--cc", "--libraries"):  # flags of compilers begin with dashes too: from the last to the first
        at = arguments.index(name)
        lists[name], arguments = arguments[at + 1:], arguments[:at]
    source, build = (os.path.abspath(path) for path in arguments)
    with open(os.path.join(source, "ops_cuda", "folds.cuh"), encoding="utf-8") as stream:
        right = stream.read()
    broken, barriers = re.subn(r"\b__syncthreads\(\);", ";", right)
    if barriers == 0:
        sys.exit("FAIL  folds.cuh has no barrier to take away")
    failures = 0
    with tempfile.TemporaryDirectory(dir=build, prefix="broken-") as work:
        tests = os.path.join(source, "tests")
        objects = []
        for name in ("test_reduce", "support"):
            objects.append(os.path.join(work, name + ".o"))
            must(lists["--cc"] + ["-std=c17", "-O1", "-I" + source, "-c", os.path.join(tests, name + ".c"), "-o", objects[-1]])
        for text, backend, passes in ((right, "gpu-sim", True), (broken, "cpu", True), (broken, "gpu-sim", False)):
            kernel = shutil.copy(os.path.join(source, "ops_cuda", "reduce.cu"), work)
            with open(os.path.join(work, "folds.cuh"), "w", encoding="utf-8") as stream:
                stream.write(text)
            must(lists["--sim"] + ["-I" + os.path.join(source, "ops_cuda"), "-I" + source, "-c", kernel, "-o", kernel + ".o"])
            program = os.path.join(work, "test_reduce")
            must(lists["--cc"] + objects + [kernel + ".o"] + lists["--libraries"] + ["-lm", "-lstdc++", "-pthread", "-o", program])
            done = run([program], env=dict(os.environ, MT_TEST_BACKENDS="simple," + backend, MT_TEST_SMALL="1"))
            named = re.search(r"\S*: thread [^\n]*folds\.cuh:\d+[^\n]*race", done.stdout)
            ok = (done.returncode == 0) == passes and (passes or named is not None)
            failures += not ok
            print("%s%s kernel on %s: %s" % ("ok    " if ok else "FAIL  ", "right" if text is right else "broken", backend,
                                            "passes" if done.returncode == 0 else named.group()[:300] if named else done.stdout[-1500:]))
    return 1 if failures else 0


sys.exit(main())
