#!/usr/bin/env python3
"""What bootstrap.sh installs and builds, on systems that lack this or that.

    test_bootstrap.py SOURCE-ROOT

Runs a copy of bootstrap.sh whose PATH holds what each case has: links to this system's tools, and in the place of meson,
ninja, gnuplot, apt-get and sudo scripts that write down how they were called. 1. Where nothing is missing no package
manager is called, and run_fast alone is built; --all and --test build everything, --test runs the tests. 2. On Debian
what is missing is installed, with its sizes; what is optional only for --all and --test. 3. Meson in .venv is told with
the line that puts it on the PATH.
"""
import os
import shutil
import subprocess
import sys
import tempfile

USUAL = ("sh bash env cat awk sed grep tail head mktemp cp rm ln mkdir dirname uname tr chmod id cc gcc as ld c++ g++ pkg-config "
         "pkgconf python3").split()
MESON = """#!/bin/sh
echo "meson $*" >>"$CALLS"
case $1 in --version) echo 1.0.1 ;; setup) mkdir -p build/meson-info && : >build/build.ninja ;; esac
"""
NOTED = """#!/bin/sh
echo "%s $*" >>"$CALLS"
"""
APT_GET = """#!/bin/sh
case "$*" in
*--assume-no*) printf 'Need to get 1.5 MB of archives.\\nAfter this operation, 9 MB of additional disk space will be used.\\n'; exit 1 ;;
esac
echo "apt-get $*" >>"$CALLS"
for word in "$@"; do
    case $word in
    ninja-build) cp "$BIN/meson" "$BIN/ninja" ;;
    gnuplot-nox) cp "$BIN/meson" "$BIN/gnuplot" ;;
    esac
done
"""
SOURCE = os.path.abspath(sys.argv[1])
DEBIAN = os.path.exists("/etc/debian_version") and os.path.exists("/etc/os-release")
checks = failures = 0


def check(name, good, detail=""):
    global checks, failures
    checks += 1
    failures += not good
    print(("ok    " if good else "FAIL  ") + name + ("" if good else "\n      %s" % (detail,)))


def write(path, text):
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(path, 0o755)


def bootstrap(options, lacks=(), venv=False):
    """Exit status, what it said, and the calls that it made in their order."""
    with tempfile.TemporaryDirectory() as work:
        tree, tools, calls = (os.path.join(work, name) for name in ("tree", "bin", "calls"))
        os.makedirs(os.path.join(tree, "project"))
        os.mkdir(tools)
        shutil.copy(os.path.join(SOURCE, "bootstrap.sh"), tree)
        for name in USUAL:
            if shutil.which(name):
                os.symlink(os.path.realpath(shutil.which(name)) if name != "python3" else sys.executable, os.path.join(tools, name))
        for name, text in [("meson", MESON), ("apt-get", APT_GET)] + [(n, NOTED % n) for n in ("ninja", "gnuplot", "pip", "sudo")]:
            if name not in lacks:
                write(os.path.join(tools, name), text)
        os.unlink(os.path.join(tools, "id"))
        write(os.path.join(tools, "id"), "#!/bin/sh\necho 0\n")
        if venv:
            os.makedirs(os.path.join(tree, ".venv", "bin"))
            write(os.path.join(tree, ".venv", "bin", "meson"), MESON)
        done = subprocess.run(["/bin/sh", os.path.join(tree, "bootstrap.sh"), *options], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60,
                              env={"PATH": tools, "CALLS": calls, "BIN": tools, "HOME": work, "CC": "cc", "LC_ALL": "C",
                                   "PKG_CONFIG_LIBDIR": os.environ.get("PKG_CONFIG_LIBDIR", "") or "/nowhere"})
        made = open(calls, encoding="utf-8").read().splitlines() if os.path.exists(calls) else []
        return done.returncode, done.stdout, [line for line in made if line != "meson --version"]


def main():
    for options, last in [([], "meson compile -C build project/run_fast"), (["--all"], "meson compile -C build"),
                          (["--test"], "meson test -C build --print-errorlogs")]:
        status, said, calls = bootstrap(options)
        name = " ".join(["bootstrap.sh"] + options)
        if not (DEBIAN and options):  # cmocka, which is not found here, is installed by --all and --test
            check(name + ": no package manager, no root", not any(c.startswith(("apt-get", "pip", "sudo")) for c in calls), calls)
        check(name + ": ends with " + last, status == 0 and calls[-1:] == [last] or "--test" in options and DEBIAN and
              status != 0 and "cmocka" in said, (status, said, calls))
        built = [c for c in calls if c.startswith("meson compile")]
        check(name + ": what it builds", built == ["meson compile -C build" + ("" if options else " project/run_fast")] or
              "--test" in options and not built, calls)
    if DEBIAN:
        status, said, calls = bootstrap([], lacks=("ninja", "gnuplot"))
        installs = [c for c in calls if c.startswith("apt-get") and " install " in c]
        check("what is missing is installed, and nothing optional", status == 0 and len(installs) == 1 and
              "ninja-build" in installs[0] and "gnuplot" not in installs[0], (said, calls))
        check("with its sizes", "(1.5 MB to download, 9 MB on disk)" in said, said)
        check("what is left out is said", "without gnuplot-nox, which is optional" in said and "--all installs" in said, said)
        status, said, calls = bootstrap(["--all"], lacks=("ninja", "gnuplot"))
        check("--all installs what is optional too", status == 0 and any("gnuplot-nox" in c for c in calls), (said, calls))
    else:
        print("not checked: what is installed, since this is not Debian")
    status, said, calls = bootstrap([], lacks=("meson",), venv=True)
    check("Meson in .venv: the line for the PATH", status == 0 and "PATH=$PWD/.venv/bin:$PATH" in said, said)
    status, said, calls = bootstrap(["--nonsense"])
    check("an unknown option: exit 2, nothing called", status == 2 and calls == [] and "--all" in said, (status, said, calls))
    print("%d checks, %d failed" % (checks, failures))
    return 1 if failures else 0


sys.exit(main())
