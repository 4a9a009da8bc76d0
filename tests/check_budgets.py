#!/usr/bin/env python3
"""Holds the compiled kernels to ops_cuda/budgets.txt: registers, spills, shared memory, alignment, and the inner loops.

    check_budgets.py BUDGETS OBJECT... [--nvdisasm PROGRAM]

Reads what tools/nvcc_report.py left beside each object. A budget that is broken names the kernel, the card, the figure and the
budget. The loops need a disassembler (nvdisasm comes with the full toolkit and with the package nvidia-cuda-nvdisasm); without
one the rest is checked, and a line says so. Exit 77 where no object was compiled by nvcc.
"""
import argparse
import collections
import glob
import os
import re
import shutil
import subprocess
import sys

COLUMNS = ("registers", "shared", "stack", "step", "fma", "lds", "loads")
OF_CODE = {"fma", "lds", "loads"}


def demangle(names):
    """Kernels as the source spells them, without namespaces and arguments."""
    text = subprocess.run(["c++filt"], input="\n".join(names), stdout=subprocess.PIPE, text=True, check=True).stdout
    short = (re.sub(r"\bcuda::|\(anonymous namespace\)::|^void ", "", line) for line in text.splitlines())
    return dict(zip(names, (re.sub(r"\([^()]*\)$", "", line) for line in short)))


def read_budgets(path):
    """Rows of (precision or None, kernel's pattern, {column: limit})."""
    rows = []
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        if not line.split("#")[0].strip():
            continue
        pattern, _, limits = line.split("#")[0].strip().rpartition(" : ")
        precision, pattern = pattern.split(None, 1)
        limits = [limit.partition("=") for limit in limits.split()]
        limits = {name: value for name, _, value in limits}
        together = {"step", "fma", "lds"} & set(limits)
        if precision not in ("float", "double", "both") or not limits or {name.partition("@")[0] for name in limits} - set(COLUMNS) or len(together) in (1, 2):
            sys.exit("%s:%d: a row is: float|double|both, a pattern, ' : ', and limits of %s; step, fma and lds go together" %
                     (path, number, ", ".join(COLUMNS)))
        rows.append((precision, re.compile(pattern.strip()), limits))
    return rows


def reported(path):
    """(kernel, card): {registers, shared, frame, spills} from what the assembler said."""
    figures, kernel = {}, None
    for line in open(path, encoding="utf-8"):
        entry = re.search(r"Compiling entry function '(\S+)' for '(sm_\d+)", line)
        if entry:
            kernel = figures[entry.groups()] = {"registers": 0, "shared": 0, "frame": 0, "spills": 0}
        elif re.search(r"Compiling function|Function properties for", line) and kernel is None:
            continue
        elif kernel is not None:
            for name, pattern in (("registers", r"Used (\d+) registers"), ("shared", r"(\d+) bytes smem"),
                                  ("frame", r"(\d+) bytes stack frame")):
                found = re.search(pattern, line)
                if found:
                    kernel[name] = max(kernel[name], int(found.group(1)))
            kernel["spills"] += sum(int(n) for n in re.findall(r"(\d+) bytes spill", line))
    return figures


def shared_arrays(path):
    """kernel: (widest shared access in bytes, {array: (bytes, alignment)}), from the intermediate code."""
    kernels = {}
    text = open(path, encoding="utf-8", errors="replace").read()
    for name, body in re.findall(r"\.entry (\S+?)\((.*?)(?=\.entry |\Z)", text, re.S):
        widest = max([int(n) * {"8": 1, "16": 2, "32": 4, "64": 8}[bits]
                      for n, bits in re.findall(r"(?:ld|st)\.shared\.v(\d)\.\w(8|16|32|64)", body)] or [0])
        arrays = {array: (int(size), int(align))
                  for align, array, size in re.findall(r"\.shared \.align (\d+) \.b8 (\S+?)\[(\d+)\]", body)}
        kernels[name] = (widest, arrays)
    return kernels


def instructions(nvdisasm, cubin):
    """kernel: [(address or None, text)], labels being lines without an address."""
    text = subprocess.run([nvdisasm, "-c", cubin], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    kernels, current = {}, None
    for line in text.splitlines():
        section = re.match(r"\s*\.section\s+\.text\.([\w$]+)", line)
        label = re.match(r"(\.L_x?_?\w+):", line)
        code = re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;", line)
        if section:
            current = kernels[section.group(1)] = []
        elif current is not None and label:
            current.append((label.group(1), None))
        elif current is not None and code:
            current.append((None, re.sub(r"^@!?U?P\w+\s+", "", code.group(1))))
    return kernels


def step_of_product(code, multiplies):
    """(instructions that a step of a product's loop over k takes, shared loads in it, their least width in bits), where a thread
    multiplies `multiplies` times in a step; or None. The step is the smallest loop that loads, reads shared memory and multiplies.
    Where a loop inside it does the multiplying, that one runs until there are enough.
    """
    places = {label: i for i, (label, _) in enumerate(code) if label}
    loops = []
    for i, (_, text) in enumerate(code):
        jump = re.match(r"BRA.*?`\((\.L\w+)\)", text or "")
        if jump and places.get(jump.group(1), i) < i:
            counts = collections.Counter(text.split()[0] for _, text in code[places[jump.group(1)]:i + 1] if text)
            loops.append((places[jump.group(1)], i, counts))
    multiplying = [l for l in loops if fmas(l[2]) and any(op.startswith("LDS") for op in l[2])]
    steps = [l for l in multiplying if any(op.startswith("LDG") for op in l[2])]
    if not steps:
        return None
    step = min(steps, key=lambda l: l[1] - l[0])
    inner = [l for l in multiplying if step[0] <= l[0] and l[1] <= step[1] and l is not step]
    total = collections.Counter(step[2])
    if inner:
        turn = min(inner, key=lambda l: l[1] - l[0])[2]
        for op, count in turn.items():
            total[op] += (multiplies - fmas(step[2])) * count / fmas(turn)
    loads = {op: n for op, n in total.items() if op.startswith("LDS")}
    return sum(total.values()), sum(loads.values()), min(width(op) for op in loads)


def fmas(counts):
    return sum(n for op, n in counts.items() if op.split(".")[0] in ("FFMA", "FFMA2", "DFMA"))


def width(op):
    return 128 if ".128" in op else 64 if ".64" in op else 32


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("budgets")
    parser.add_argument("objects", nargs="*")
    parser.add_argument("--nvdisasm", default=shutil.which("nvdisasm"))
    parser.add_argument("--show", action="store_true", help="print the figures of each kernel that has a row of its own")
    options = parser.parse_args()
    objects = [path for path in options.objects if os.path.exists(path + ".ptxas")]
    if not objects:
        print("nvcc compiled nothing here, so there is nothing to hold to a budget")
        return 77
    rows, used, faults, looked, loops = read_budgets(options.budgets), set(), [], 0, 0
    precisions, cards = set(), set()
    for path in objects:
        precision = "double" if "minitorch_d" in os.path.basename(path) or "MT_DOUBLE" in os.path.basename(path) else "float"
        figures, arrays = reported(path + ".ptxas"), shared_arrays(path + ".ptx")
        names = demangle(sorted({kernel for kernel, _ in figures} | set(arrays)))
        precisions.add(precision)
        cards.update(card for _, card in figures)

        def fault(kernel, card, text):
            faults.append("%s (%s, %s): %s" % (names[kernel], precision, card, text))

        for kernel, (widest, own) in arrays.items():
            # Small arrays beside the one that is read wide are read by the element.
            for array, (size, align) in sorted(own.items(), key=lambda item: -item[1][0])[:1]:
                if align < widest:
                    fault(kernel, "all", "its shared array of %d bytes is read %d bytes wide and declared aligned to %d; "
                          "use MT_SHARED_ALIGNED" % (size, widest, align))
        code = {}
        for cubin in glob.glob(glob.escape(path) + ".sm_*.cubin") if options.nvdisasm else []:
            card = re.search(r"sm_\d+", os.path.basename(cubin)).group()
            wanted = {kernel for kernel, on in figures if on == card and OF_CODE & set(limits_of(rows, precision, names[kernel])[1])}
            if wanted:
                code.update({(kernel, card): text for kernel, text in instructions(options.nvdisasm, cubin).items() if kernel in wanted})
        for (kernel, card), have in sorted(figures.items()):
            index, limits = limits_of(rows, precision, names[kernel])
            used.add(index)
            looked += 1
            if index is None:
                fault(kernel, card, "no row of the budgets is about it")
                continue
            if have["spills"] or have["frame"] > int(limits.get("stack", 0)):
                fault(kernel, card, "%d bytes of spills and %d of stack, and the budget is 0 and %s" %
                      (have["spills"], have["frame"], limits.get("stack", 0)))
            for name in ("registers", "shared"):
                limit = limits.get("%s@%s" % (name, card[3:]), limits.get(name))
                if limit is not None and have[name] > int(limit):
                    fault(kernel, card, "%s %d, and the budget is %s" % (name, have[name], limit))
            shown = ["%s=%d" % (name, have[name]) for name in ("registers", "shared")]
            if (kernel, card) in code:
                loops += 1
                everything = {text.split()[0] for _, text in code[kernel, card] if text}
                widths = sorted({width(op) for op in everything if op.startswith("LDG")})
                shown.append("loads=%s" % ",".join(map(str, widths)))
                if "step" in limits:
                    step = step_of_product(code[kernel, card], int(limits["step"]))
                    if step is None:
                        fault(kernel, card, "no loop of it loads, reads shared memory and multiplies")
                        continue
                    fma, lds = int(limits["step"]) / step[0], step[1] / int(limits["step"])
                    shown += ["fma=%.3f" % fma, "lds=%.4f" % lds]
                    if fma < float(limits["fma"]):
                        fault(kernel, card, "multiply-adds are %.3f of a step along k, and the budget is %s" % (fma, limits["fma"]))
                    if lds > float(limits["lds"]):
                        fault(kernel, card, "%.4f shared loads for each multiply-add, and the budget is %s" % (lds, limits["lds"]))
                    if step[2] < 128:
                        fault(kernel, card, "a step along k reads shared memory %d bits at a time, not 128" % step[2])
                if "loads" in limits and int(limits["loads"]) not in widths:
                    fault(kernel, card, "no load of %s bits (it has %s)" % (limits["loads"], widths))
            if options.show and rows[index][1].pattern != ".*":
                print("%-8s %-6s %s : %s" % (precision, card, names[kernel], " ".join(shown)))
    for index, (precision, pattern, _) in enumerate(rows):
        if index not in used and (precision == "both" or precision in precisions):
            faults.append("%s: no kernel is called %s (%s); the row can go" % (options.budgets, pattern.pattern, precision))
    for text in faults:
        print("FAIL  " + text)
    if not options.nvdisasm:
        print("not checked: the inner loops; there is no nvdisasm on the PATH")
    print("summary: %d kernels on %s held to their budgets, %d by their code" % (looked, ", ".join(sorted(cards)), loops))
    return 1 if faults else 0


def limits_of(rows, precision, name):
    """The first row that is about a kernel: (its number, its limits)."""
    for index, (of, pattern, limits) in enumerate(rows):
        if of in (precision, "both") and pattern.fullmatch(name):
            return index, limits
    return None, {}


sys.exit(main())
