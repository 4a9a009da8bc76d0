#!/usr/bin/env python3
"""Checks of the tree itself: every source is built, and nothing in it belongs to one machine.

    check_tree.py ROOT

1. Every source and header of a folder with a meson.build is named there (tests: by NAME for test_NAME.c), so that no
file is forgotten when the libraries are built or the headers installed. 2. No text file holds an absolute path of
somebody's machine. 3. Text files end with one newline and have no tabs, trailing blanks or carriage returns. 4. .ci/run
does not pass when it is asked for a stage that it does not have.
"""
import os
import re
import shutil
import subprocess
import sys

LISTED = ("tensor", "ops_cpu", "ops_cuda", "autodiff", "nn")
SOURCES = {"project": (".c",), "fuzz": (".c",), "bench": (".c",), "tools": (".c",), "tests": (".c", ".py")}
TEXT = (".c", ".h", ".inc", ".cu", ".cuh", ".cpp", ".py", ".sh", ".md", ".build", ".txt", ".1", ".yml")
SKIP = {".git", ".venv", ".cache", "__pycache__"}
MACHINE_PATH = re.compile(r"(?<![\w./$}])/(?:home|root|Users|work|mnt|tmp)/[\w.]+")
TAB_ALLOWED = {"tests/golden"}  # data


def files_of(root):
    for folder, folders, names in os.walk(root):
        if folder == root:
            folders[:] = [f for f in folders if not f.startswith("build")]
        folders[:] = sorted(f for f in folders if f not in SKIP)
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), root)


def check_listed(root, path, listings):
    folder, name = os.path.split(path)
    ending = os.path.splitext(name)[1]
    wanted = folder in LISTED and ending in (".c", ".h", ".inc") or ending in SOURCES.get(folder, ())
    if not wanted:
        return
    if folder not in listings:
        with open(os.path.join(root, folder, "meson.build"), encoding="utf-8") as listing:
            listings[folder] = listing.read()
    short = re.sub(r"^test_(.*)\.c$", r"\1", name)
    if "'%s'" % name not in listings[folder] and not (folder == "tests" and "'%s'" % short in listings[folder]):
        yield "%s: not named in %s/meson.build" % (path, folder)


def check_text(root, path):
    if not path.endswith(TEXT):
        return
    with open(os.path.join(root, path), encoding="utf-8", newline="") as stream:
        text = stream.read()
    if path != os.path.join("tests", "check_tree.py"):
        for found in MACHINE_PATH.finditer(text):
            yield "%s:%d: a path of one machine: %s" % (path, text.count("\n", 0, found.start()) + 1, found.group())
    if text and (not text.endswith("\n") or text.endswith("\n\n")):
        yield "%s: does not end with one newline" % path
    if os.path.dirname(path) in TAB_ALLOWED:
        return
    for number, line in enumerate(text.split("\n"), 1):
        if "\t" in line or "\r" in line or line != line.rstrip():
            yield "%s:%d: a tab, a carriage return or a trailing blank" % (path, number)


def check_stages(root):
    if not shutil.which("bash"):
        return
    done = subprocess.run(["bash", os.path.join(root, ".ci", "run")], env={**os.environ, "STAGES": "nonsense"}, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    if done.returncode != 1 or "no stage 'nonsense'" not in done.stderr or " lint " not in done.stderr:
        yield ".ci/run: STAGES=nonsense exits with %d: %s%s" % (done.returncode, done.stdout, done.stderr)


def main():
    root = sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__)
    problems, listings, count = [], {}, 0
    for path in files_of(root):
        count += 1
        problems += check_listed(root, path, listings)
        problems += check_text(root, path)
    problems += check_stages(root)
    for problem in problems:
        print(problem)
    print("%d files, %d problems" % (count, len(problems)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
