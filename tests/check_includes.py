#!/usr/bin/env python3
"""Fails on an #include arrow that docs/design.md does not allow, and on a CUDA guard outside ops_cuda.

    check_includes.py ROOT

The rule, "Who may include whom": tensor: itself. ops_cpu, ops_cuda: tensor. autodiff: tensor, never ops_*. nn: autodiff
and tensor. project: the umbrella header alone, but project/lab, whose kernels are written for ops_cuda/launch.cuh and run
by ops_cuda/sim: those. tests, bench: anything.
"""
import os
import re
import sys

ALLOWED = {
    "tensor": {"tensor"},
    "ops_cpu": {"ops_cpu", "tensor"},
    "ops_cuda": {"ops_cuda", "tensor"},
    "autodiff": {"autodiff", "tensor"},
    "nn": {"nn", "autodiff", "tensor"},
    "project": {"project"},
    "project/lab": {"project", "ops_cuda"},
}
UMBRELLA = "minitorch.h"
GENERATED = {"mt_double_names.h", "mt_double_rows.h"}
ENDINGS = (".c", ".h", ".inc", ".cu", ".cuh")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
CUDA_GUARD = re.compile(r"^[ \t]*#[ \t]*(?:el)?if\w*\b.*\b(__CUDACC__|__CUDA_ARCH__|__NVCC__|MT_CUDA|MT_HAVE_CUDA)\b",
                        re.MULTILINE)


def resolve(root, folder, name):
    """The included file as a path from the root: beside the includer, or from the root; None when it is neither."""
    for base in (folder, ""):
        path = os.path.normpath(os.path.join(base, name))
        if os.path.isfile(os.path.join(root, path)):
            return path
    return None


def check_file(root, folder, path, text):
    layer = next(l for l in sorted(ALLOWED, reverse=True) if path.startswith(l + os.sep))
    for found in INCLUDE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        bracket, name = found.groups()
        target = resolve(root, folder, name)
        if target is None:
            if bracket == '"' and name not in GENERATED:
                yield '%s:%d: "%s" is neither beside this file nor in the tree' % (path, line, name)
            continue
        if target == UMBRELLA and layer == "project":
            continue
        target_layer = target.split(os.sep)[0]
        if target == UMBRELLA or target_layer not in ALLOWED[layer]:
            yield "%s:%d: %s may not include %s; allowed: %s%s" % (
                path, line, layer, target, ", ".join(sorted(ALLOWED[layer])),
                " and " + UMBRELLA if layer == "project" else "")
    if layer != "ops_cuda":
        for found in CUDA_GUARD.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield "%s:%d: a CUDA guard (%s) outside ops_cuda" % (path, line, found.group(1))


def main():
    root = sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__)
    problems, files = [], 0
    for layer in ALLOWED:
        for folder, _, names in sorted(os.walk(os.path.join(root, layer))) if "/" not in layer else []:
            for name in sorted(names):
                if name.endswith(ENDINGS):
                    files += 1
                    relative = os.path.relpath(folder, root)
                    with open(os.path.join(folder, name), encoding="utf-8") as source:
                        problems += check_file(root, relative, os.path.join(relative, name), source.read())
    for problem in problems:
        print(problem)
    print("%d files, %d arrows or guards that are not allowed" % (files, len(problems)))
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
