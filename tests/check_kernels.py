#!/usr/bin/env python3
"""Does `gpu_slots --large` launch every kernel? Names the template instances of the CUDA backend that it leaves out.

    check_kernels.py NM PROGRAM FOLDER

PROGRAM is tests/launched_kernels.c, which prints where the kernels are that it launched on gpu-sim. What it could have
launched are the functions among its symbols with the name of a kernel: of what FOLDER's .cu and .cuh declare with
MT_KERNEL, every instance whose address is taken. Where nvcc compiled the same sources, the card's kernels must be the same.
"""
import glob
import os
import re
import subprocess
import sys

DECLARED = re.compile(r"\bMT_KERNEL\s+void\s+(?:__launch_bounds__\([^()]*\)\s*)?(\w+)\s*\(")
FAR = re.compile(r"<.*\bunsigned long\b")  # an instance that counts in 64 bits
KERNEL = re.compile(r"(?:void )?(sim|cuda)::\(anonymous namespace\)::(\w+)(?:<|\()")


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("FAIL  %s ended with %d\n%s" % (" ".join(command[:2]), done.returncode, done.stdout[-4000:]))
    return done.stdout


def symbols(nm, program):
    """Functions of the program: (address, name as the source has it)."""
    found = re.findall(r"^([0-9a-f]+) [tTwW] (.+)$", run([nm, "-C", "--defined-only", program]), re.M)
    return [(int(address, 16), name) for address, name in found]


def main():
    nm, program, folder = sys.argv[1:]
    declared = set()
    for path in glob.glob(os.path.join(folder, "*.cu")) + glob.glob(os.path.join(folder, "*.cuh")):
        with open(path, encoding="utf-8") as stream:
            text = re.sub(r"/\*.*?\*/", "", stream.read(), flags=re.S)
        declared |= set(DECLARED.findall(text)) if os.path.basename(path) != "twin_cuda.cuh" else set()
    kernels, start, instantiated = {"sim": {}, "cuda": {}}, None, set()
    for address, name in symbols(nm, program):
        start = address if name == "main" else start
        found = KERNEL.match(name)
        if found and found.group(2) in declared and "[clone" not in name:
            instantiated.add(found.group(2))
            short = re.sub(r"\b(?:sim|cuda)::|\(anonymous namespace\)::|^void ", "", name)
            kernels[found.group(1)].setdefault(re.sub(r"\([^()]*\)$", "", short), set()).add(address)
    said = run([program])
    shift = start - int(re.search(r"^main ([0-9a-f]+)$", said, re.M).group(1), 16)
    launched = {int(address, 16) + shift for address in re.findall(r"^launched ([0-9a-f]+)$", said, re.M)}

    faults = ["%s is declared, and no kernel of gpu-sim has that name" % name for name in sorted(declared - instantiated)]
    missed = [name for name, addresses in sorted(kernels["sim"].items()) if not addresses <= launched]
    far = [name for name in missed if FAR.search(name)]
    faults += ["gpu_slots --large never launches %s; add work that needs it to bench/slots_*.c, or take the instance away" %
               name for name in missed if name not in far]
    unknown = launched - set().union(*kernels["sim"].values())
    faults += ["%d launched kernels are not among the program's symbols; is it stripped?" % len(unknown)] if unknown else []
    for name in sorted(set(kernels["sim"]) ^ set(kernels["cuda"])) if kernels["cuda"] else []:
        faults.append("%s is a kernel of %s alone" % (name, "gpu-sim" if name in kernels["sim"] else "gpu"))
    for text in faults:
        print("FAIL  " + text)
    for name in far:
        print("not checked: %s, whose positions need more than 31 bits and more memory than the simulated card has" % name)
    print("summary: kernels%s launched=%d of %d" % (" and the card's" if kernels["cuda"] else "", len(launched),
                                                    sum(map(len, kernels["sim"].values()))))
    return 1 if faults else 0


sys.exit(main())
