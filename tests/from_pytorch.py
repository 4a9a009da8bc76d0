#!/usr/bin/env python3
"""The idioms of docs/from-pytorch.md: makes a program of the C lines, and compares what it prints with PyTorch.

    from_pytorch.py --program PAGE OUT.c        writes the program
    from_pytorch.py --check PAGE STORED PROGRAM runs it; each value must be PyTorch's
    from_pytorch.py --update PAGE STORED        writes what PyTorch gives into STORED

The page is read from its top to its end. A row of a table is two expressions. A pair of blocks, Python and C, is two lists of
statements; the names between backticks in the line "Both give the same ..." that follows are compared. Rows and blocks see
the names of earlier ones. Values are compared as lists of numbers, so that a scalar there and shape (1) here agree. Without
PyTorch those of STORED serve; with it STORED must hold what it gives now. STORED is a JSON object: a key is an expression,
or the block's first line and the name.
"""
import json
import os
import re
import subprocess
import sys

ROW = re.compile(r"^\| `([^|]*)` \| `([^|]*)` \|$")
SAME = re.compile(r"^Both give the same (.*)", re.S)
DECLARED = re.compile(r"\*(\w+) = (mt_\w+)\(")
TOLERANCE = 1e-12  # both in double
FREE = {
    "mt_step_free": ("mt_step_new",),
    "mt_module_free": ("mt_mlp", "mt_sequential"),
    "mt_optimizer_free": ("mt_sgd_new", "mt_adam_new"),
    "mt_tensor_free": ("mt_parse", "mt_zeros", "mt_ones", "mt_full", "mt_arange", "mt_eye", "mt_linspace", "mt_uniform",
                       "mt_normal", "mt_from_doubles", "mt_from_indices", "mt_tensor_copy", "mt_tensor_select",
                       "mt_tensor_slice"),
}  # fmt: skip
TOP = """/* Made by from_pytorch.py from docs/from-pytorch.md: prints a line of numbers for each idiom. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "minitorch.h"

static void show_number(const char *key, double value) { printf("%s\\t%.17g\\n", key, value); }

static void show_tensor(const char *key, mt_tensor *x)
{
    const int64_t count = mt_tensor_count(x);
    double *values = count > 0 ? malloc((size_t)count * sizeof *values) : NULL;
    int64_t *indices = count > 0 ? malloc((size_t)count * sizeof *indices) : NULL;
    if (values && indices && mt_tensor_kind(x) == MT_INDEX && mt_to_indices(x, indices, count) == MT_OK)
        for (int64_t i = 0; i < count; i++) values[i] = (double)indices[i];
    else if (!values || !indices || mt_to_doubles(x, values, count) != MT_OK)
        printf("%s\\t%s", key, mt_last_message());
    if (x && values) printf("%s", key);
    for (int64_t i = 0; i < count; i++) printf("\\t%.17g", values ? values[i] : 0);
    printf("\\n");
    free(values);
    free(indices);
}

/* What a constructor made. */
static void show_own(const char *key, mt_tensor *x)
{
    show_tensor(key, x);
    mt_tensor_free(x);
}

#define SHOW(key, x) _Generic((x), mt_tensor * : show_tensor, default : show_number)(key, x)

int main(void)
{
    mt_backend *cpu = mt_backend_get("cpu");
    mt_tape *t = mt_tape_new(cpu);
"""
END = """    mt_tape_free(t);
    return 0;
}
"""


def idioms(page):
    """Of the page: ("row", python, c) and ("block", python, c, names), in order."""
    with open(page, encoding="utf-8") as stream:
        lines = stream.read().split("\n")
    found, blocks, fence, text = [], {}, None, []
    for line in lines:
        if fence is not None:
            if line == "```":
                blocks[fence] = "\n".join(text)
                fence = None
            else:
                text.append(line)
        elif line.startswith("```"):
            fence, text = line[3:], []
        elif ROW.match(line):
            found.append(("row",) + ROW.match(line).groups())
        elif SAME.match(line):
            found[-1] = found[-1][:3] + (re.findall(r"`(\w+)`", SAME.match(line).group(1).split(".")[0]),)
        if "python" in blocks and "c" in blocks:
            found.append(("block", blocks.pop("python"), blocks.pop("c"), []))
    return found


def keys(idiom):
    return [idiom[1]] if idiom[0] == "row" else ["%s ... %s" % (idiom[1].split("\n")[0], name) for name in idiom[3]]


def quoted(text):
    return json.dumps(text)


def program(page):
    body, free = [], []
    for idiom in idioms(page):
        if idiom[0] == "row":
            show = "show_own" if idiom[2].split("(")[0] in FREE["mt_tensor_free"] else "SHOW"
            body.append("    %s(%s, %s);" % (show, quoted(idiom[1]), idiom[2]))
            continue
        body += ["    " + line if line else "" for line in idiom[2].split("\n")]
        body += ["    show_tensor(%s, %s);" % (quoted(key), name) for key, name in zip(keys(idiom), idiom[3])]
        for name, maker in DECLARED.findall(idiom[2]):
            free += ["    %s(%s);" % (function, name) for function, makers in FREE.items() if maker in makers]
    return TOP + "\n".join(body + free[::-1]) + "\n" + END


def numbers(value):
    """What PyTorch gave, as a list of numbers."""
    if hasattr(value, "detach"):
        return [float(v) for v in value.detach().to(dtype=__import__("torch").float64).reshape(-1).tolist()]
    return [float(value)]


def of_pytorch(page):
    import numpy
    import torch

    torch.set_default_dtype(torch.float64)
    names = {"torch": torch, "numpy": numpy}
    values = {}
    for idiom in idioms(page):
        if idiom[0] == "row":
            values[idiom[1]] = numbers(eval(idiom[1], names))
        else:
            exec(idiom[1], names)
            for key, name in zip(keys(idiom), idiom[3]):
                values[key] = numbers(names[name])
    return values


def differ(a, b):
    return len(a) != len(b) or any(not (abs(x - y) <= TOLERANCE * max(1, abs(y)) or (x != x and y != y)) for x, y in zip(a, b))


def check(page, stored, program_path):
    with open(stored, encoding="utf-8") as stream:
        wanted = json.load(stream)
    failures = []
    try:
        now = of_pytorch(page)
        source = "PyTorch"
    except ImportError:
        now, source = wanted, "stored values"
    for key in sorted(set(now) | set(wanted)):
        if key not in now or key not in wanted or differ(now[key], wanted[key]):
            failures.append("%s: %s is not what PyTorch gives; run from_pytorch.py --update" % (key, os.path.basename(stored)))
    done = subprocess.run([program_path], stdout=subprocess.PIPE, text=True, timeout=60)
    if done.returncode != 0:
        failures.append("the program ended with status %d" % done.returncode)
    here = {}
    for line in done.stdout.splitlines():
        key, *values = line.split("\t")
        try:
            here[key] = [float(value) for value in values]
        except ValueError:
            failures.append("%s: %s" % (key, " ".join(values)))
    expected = [key for idiom in idioms(page) for key in keys(idiom)]
    for key in expected:
        if key not in wanted:
            failures.append("%s: no stored value; run from_pytorch.py --update" % key)
        elif key not in here:
            failures.append("%s: the C line printed nothing" % key)
        elif differ(here[key], wanted[key]):
            failures.append("%s: PyTorch gives %s, the C line %s" % (key, wanted[key], here[key]))
    for failure in failures:
        print("FAIL  " + failure)
    print("%d idioms compared with %s" % (len(expected), source))
    print("summary: from_pytorch: idioms")
    return 1 if failures else 0


def main():
    mode, page, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    if mode == "--program":
        with open(rest[0], "w", encoding="utf-8") as stream:
            stream.write(program(page))
    elif mode == "--update":
        with open(rest[0], "w", encoding="utf-8") as stream:
            values = of_pytorch(page)
            stream.write("{\n%s\n}\n" % ",\n".join("%s: %s" % (json.dumps(key), json.dumps(values[key])) for key in values))
    else:
        return check(page, *rest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
