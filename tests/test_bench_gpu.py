#!/usr/bin/env python3
"""bench/gpu.sh where no GPU is: it refuses with one sentence and exit 1, builds, and can be rehearsed.

    test_bench_gpu.py SOURCE-ROOT BUILD-ROOT [nvcc]

1. Without a tool, without nvcc and without a driver it says which is missing. 2. With "nvcc" the build part runs, in the
build directory that is there. 3. A rehearsal on gpu-sim writes a file with every part in it, or the reason why it is not. 4. The
tests that it runs compile without cmocka, with the header that stands in for it.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

failures = 0


def check(condition, text):
    global failures
    if not condition:
        failures += 1
        print("FAIL  " + text)


def run(script, arguments, environment=None):
    done = subprocess.run([script] + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=500,
                          env=environment)
    return done.returncode, done.stdout, done.stderr


def folder_of(work, name, tools):
    """A PATH with these tools alone; a value of "" is a tool that does nothing."""
    folder = os.path.join(work, name)
    os.mkdir(folder)
    for tool, text in tools.items():
        path = os.path.join(folder, tool)
        if text is None:
            os.symlink(shutil.which(tool), path)
        else:
            with open(path, "w", encoding="utf-8") as stream:
                stream.write("#!/bin/sh\n" + text)
            os.chmod(path, 0o755)
    return dict(os.environ, PATH=folder, CUDA_HOME=folder, CC="cc", CXX="c++")


def refusals(script, work):
    usual = {"dirname": None, "date": None, "sh": None, "cat": None, "head": None, "tr": None, "meson": "", "ninja": "", "python3": "", "cc": "",
             "c++": ""}
    without = {k: v for k, v in usual.items() if k != "ninja"}
    cases = [("no-ninja", without, "ninja is not on the PATH"),
             ("no-driver", dict(usual, nvcc=""), "there is no NVIDIA driver here"),
             ("no-gpu", dict(usual, nvcc="", **{"nvidia-smi": "exit 9\n"}), "nvidia-smi finds no GPU")]
    if not any(os.path.exists(path) for path in ("/usr/local/cuda/bin/nvcc", "/opt/cuda/bin/nvcc")):
        cases.append(("no-nvcc", usual, "nvcc was not found"))
    for name, tools, sentence in cases:
        status, out, err = run(script, [], folder_of(work, name, tools))
        check(status == 1, "%s: ends with %d, not 1\n%s%s" % (name, status, out, err))
        check(sentence in err and err.count("\n") == 1, "%s: says %r, not one sentence with %r" % (name, err, sentence))
    status, out, err = run(script, ["--fast"])
    check(status == 2 and "--build-only" in err, "an unknown option: %d, %r" % (status, err))


def rehearsal(script, build, work):
    path = os.path.join(work, "rehearsal.json")
    status, out, err = run(script, ["--build", build, "--rehearse", path])
    check(status == 0, "the rehearsal ends with %d\n%s%s" % (status, out[-2000:], err[-2000:]))
    if status != 0:
        return
    with open(path, encoding="utf-8") as stream:
        result = json.load(stream)
    check(result["rehearsal"] and result["backend"] == "gpu-sim", "a rehearsal must say that it is one")
    for name in ("gpu", "lab", "matmul_seconds", "training", "seconds", "toolkit"):
        check(name in result, "the file lacks " + name)
    check(sorted(result["matmul_seconds"]) == ["16", "40"], "the sizes are %s" % result["matmul_seconds"])
    check(result["training"][0]["epoch_seconds"], "training was not timed: %s" % result["not_done"])


def stand_in(source):
    tests = os.path.join(source, "tests")
    with open(os.path.join(tests, "meson.build"), encoding="utf-8") as stream:
        names = re.findall(r"'(\w+)'", re.search(r"^backend_tests = \[(.*?)\]", stream.read(), re.M | re.S).group(1))
    check(len(names) > 5, "the list of tests was not found: %s" % names)
    files = [os.path.join(tests, "test_%s.c" % name) for name in names] + [os.path.join(tests, "support.c")]
    status, out, err = run(os.environ.get("CC", "cc").split()[0], ["-std=c17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                                                                   "-I" + source, "-I" + os.path.join(tests, "alone")] + files)
    check(status == 0, "without cmocka:\n%s" % err[-2000:])


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    script, build = os.path.join(os.path.abspath(sys.argv[1]), "bench", "gpu.sh"), os.path.abspath(sys.argv[2])
    with tempfile.TemporaryDirectory(dir=build, prefix="bench-gpu-") as work:
        refusals(script, work)
        if "nvcc" in sys.argv[3:]:
            status, out, err = run(script, ["--build", build, "--build-only"])
            check(status == 0 and "built in" in out, "--build-only: %d\n%s%s" % (status, out[-2000:], err[-2000:]))
        rehearsal(script, build, work)
    stand_in(os.path.abspath(sys.argv[1]))
    print("%d failures" % failures)
    return 1 if failures else 0


sys.exit(main())
