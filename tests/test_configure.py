#!/usr/bin/env python3
"""What configuring says of the CUDA toolkit and of the simulator, on machines that have neither, or the wrong one.

    test_configure.py SOURCE-ROOT BUILD-ROOT

Configures without building. 1. No toolkit, a toolkit older than 12, one whose nvcc cannot compile, and no C++ compiler:
on auto the summary says which, and all else is configured. 2. With -Dcuda=enabled or -Dsim=enabled the same is an error
that says it too. 3. -Dfuzz=enabled without libFuzzer is an error. A toolkit here is a folder with a bin/nvcc that only
knows its version; CUDA_HOME names it, or PATH.
"""
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile

NVCC = """#!/bin/sh
test "$1" = --version || { echo "nvcc fatal: no host compiler" >&2; exit 1; }
echo "nvcc: NVIDIA (R) Cuda compiler driver"
echo "Cuda compilation tools, release %s, V%s.89"
"""
FOUND_ELSEWHERE = any(os.path.exists(folder + "/bin/nvcc") for folder in ("/usr/local/cuda", "/opt/cuda")) or shutil.which("nvcc")


def toolkit(work, name, version):
    home = os.path.join(work, name)
    os.makedirs(os.path.join(home, "bin"))
    if version:
        nvcc = os.path.join(home, "bin", "nvcc")
        with open(nvcc, "w", encoding="utf-8") as stream:
            stream.write(NVCC % (version, version))
        os.chmod(nvcc, 0o755)
    return home


def configure(source, work, case):
    name, environment, option, succeeds, sentence = case
    usual = {k: v for k, v in os.environ.items() if k not in ("CUDA_HOME", "MAKEFLAGS", "NINJA_STATUS")}
    done = subprocess.run(["meson", "setup", os.path.join(work, "build-" + name.replace(" ", "-").replace(",", "")), source,
                           "-Dtests=disabled", option], env=dict(usual, **environment), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=120)
    said = " ".join(done.stdout.split())
    if (done.returncode == 0) != succeeds:
        return "%s: meson setup ends with %d\n%s" % (name, done.returncode, done.stdout[-2000:])
    if sentence not in said:
        return "%s: %r is not said\n%s" % (name, sentence, done.stdout[-2000:])
    return ""


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, build = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    with tempfile.TemporaryDirectory(dir=build, prefix="configure-") as work:
        none, old, mute = toolkit(work, "none", ""), toolkit(work, "old", "11.8"), toolkit(work, "mute", "12.4")
        old_path = {"PATH": os.path.join(old, "bin") + os.pathsep + os.environ["PATH"]}
        no_home, too_old = "there was no bin/nvcc under CUDA_HOME", "the CUDA toolkit found is 11.8 and 12 or later is needed"
        auto, enabled = "-Dcuda=auto", "-Dcuda=enabled"
        error = "-Dcuda=enabled, but "
        cases = [
            ("no toolkit", {"CUDA_HOME": none}, auto, True, "gpu : not built: " + no_home),
            ("no toolkit, enabled", {"CUDA_HOME": none}, enabled, False, error + no_home),
            ("old", {"CUDA_HOME": old}, auto, True, "gpu : not built: " + too_old),
            ("old, enabled", {"CUDA_HOME": old}, enabled, False, error + too_old),
            ("old on the path", old_path, auto, True, "gpu : not built: " + too_old),
            ("no host compiler", {"CUDA_HOME": mute}, enabled, False, error + "nvcc 12.4 could not compile"),
            ("no c++", {"CUDA_HOME": none, "CXX": "false"}, "-Dsim=auto", True, "gpu-sim : not built: no C++ compiler was found"),
            ("no c++, enabled", {"CUDA_HOME": none, "CXX": "false"}, "-Dsim=enabled", False, "ERROR"),
        ]
        if shutil.which("gcc"):
            cases.append(("fuzz with gcc", {"CC": "gcc"}, "-Dfuzz=enabled", False, "-Dfuzz=enabled, but no libFuzzer program links"))
        if not FOUND_ELSEWHERE:
            cases.append(("nothing anywhere", {}, auto, True, "gpu : not built: nvcc was not found"))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            problems = [text for text in pool.map(lambda case: configure(source, work, case), cases) if text]
    for text in problems:
        print("FAIL  " + text)
    print("%d ways to configure, %d problems" % (len(cases), len(problems)))
    return 1 if problems else 0


sys.exit(main())
