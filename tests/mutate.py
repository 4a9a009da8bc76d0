#!/usr/bin/env python3
"""tests/mutate - would the tests see it? Breaks the shipped CUDA kernels in one place at a time and runs them on gpu-sim.

    mutate.py SOURCE-ROOT BUILD-ROOT --libraries LIB... --cc CC... --sim COMMAND...
              [--sample N] [--file NAME] [--jobs N] [--list]

A mutant is a barrier or a fence taken away, or a comparison of device code that counts its bound otherwise: < for <=, > for
>=, and back. All of a file are compiled at once, each behind mt_mutant_is(number), and one is switched on at a time; the
numbers that a group of tests/mutate_ops.c asks for say which mutants it can see. A mutant is caught when a group fails, dies
or takes too long. tests/mutate_equivalent.txt lists those that change nothing, each with its reason; one that survives and
is not listed fails the test, and so does an entry whose mutant is caught or not there. --sample takes N of them, spread over
the files. LIB is the archive of tests/mutate_ops.c and what it links with.
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

DEVICE = re.compile(r"\b(?:MT_KERNEL|MT_BODY|MT_DEVICE|__device__)\b")
COMPARISON = re.compile(r" (<=|>=|<|>) ")
BARRIER = re.compile(r"\b(__syncthreads|__syncwarp|__threadfence(?:_block)?)\s*\([^()]*\)\s*;")
FLIPPED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
KIND = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
LIMIT_FACTOR, LIMIT_LEAST = 10, 6  # seconds a group may take, as a multiple of what it takes when all is right
# A kernel's own arrays are registers on a card and unseen by the simulator: the compiler checks their ends.
BOUNDS = ["-fsanitize=bounds", "-fsanitize-undefined-trap-on-error"]

# What the mutated files begin with: an infix operator, `a <lt(7)> b`, with the precedence of the one it stands for.
PRELUDE = """extern "C" bool mt_mutant_is(int) __attribute__((const));
namespace mt_mutation {
template <int KIND> struct op { bool on; };
template <class A, int KIND> struct half { A a; bool on; };
template <class A, int KIND> static inline __attribute__((always_inline)) half<A, KIND> operator<(A a, op<KIND> o)
{
    return {a, o.on};
}
template <class A, class B, int KIND> static inline __attribute__((always_inline)) bool operator>(half<A, KIND> h, B b)
{
    if (KIND == 0) return h.on ? h.a <= b : h.a < b;
    if (KIND == 1) return h.on ? h.a < b : h.a <= b;
    if (KIND == 2) return h.on ? h.a >= b : h.a > b;
    return h.on ? h.a > b : h.a >= b;
}
static inline __attribute__((always_inline)) op<0> lt(int n) { return {mt_mutant_is(n)}; }
static inline __attribute__((always_inline)) op<1> le(int n) { return {mt_mutant_is(n)}; }
static inline __attribute__((always_inline)) op<2> gt(int n) { return {mt_mutant_is(n)}; }
static inline __attribute__((always_inline)) op<3> ge(int n) { return {mt_mutant_is(n)}; }
}
"""


class Mutant:
    def __init__(self, number, path, line, text, change, order):
        self.number, self.file, self.line = number, os.path.basename(path), line
        self.key = "%s: %s: %s%s" % (self.file, text, change, " (%d)" % order if order > 1 else "")
        self.groups = []


def read(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def write(path, text):
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **options)


def must(command):
    done = run(command)
    if done.returncode != 0:
        sys.exit("FAIL  %s\n%s" % (" ".join(command), done.stdout[-4000:]))
    return done.stdout


def blank(text):
    """The text with comments, strings and what only nvcc reads turned into blanks, all else in its place."""
    def spaces(found):
        return re.sub(r"[^\n]", " ", found.group())
    text = re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])'", spaces, text, flags=re.S)
    return re.sub(r"^#if(?:def __CUDACC__|ndef MT_SIM)\n.*?^#(?:else|endif)", spaces, text, flags=re.M | re.S)


def bodies(code):
    """(start, end) of the bodies of functions that run on the device."""
    end = 0
    for found in DEVICE.finditer(code):
        at = found.end()
        if at < end:
            continue
        depth = 0
        while at < len(code) and (depth > 0 or code[at] not in "{;"):
            depth += {"(": 1, ")": -1}.get(code[at], 0)
            at += 1
        if at >= len(code) or code[at] == ";":
            continue
        start = at
        depth = 0
        while True:
            depth += {"{": 1, "}": -1}.get(code[at], 0)
            at += 1
            if depth == 0:
                break
        end = at
        yield start, end


def mutate(path, mutants, skipped):
    """The file's text with every mutant in it, each behind its number."""
    text = read(path)
    code = blank(text)
    edits = []
    for start, end in bodies(code):
        for found in COMPARISON.finditer(code, start, end):
            edits.append((found.start(), found.end(), found.group(1)))
        for found in BARRIER.finditer(code, start, end):
            edits.append((found.start(), found.end(), ""))
    seen, result, at = {}, [], 0
    for start, end, operator in sorted(edits):
        line_start = text.rfind("\n", 0, start) + 1
        line = text[line_start:text.find("\n", start)]
        number = text.count("\n", 0, start) + 1
        before = code[line_start:start]
        if "constexpr" in before or "static_assert" in before or re.search(r"template\s*<", before):
            skipped.append("%s:%d: decided by the compiler" % (os.path.basename(path), number))
            continue
        short = re.sub(r"\s*/\*.*?\*/", "", line).strip()
        change = "%s for %s" % (FLIPPED[operator], operator) if operator else "removed"
        order = seen[short, change] = seen.get((short, change), 0) + 1
        mutants.append(Mutant(len(mutants), path, number, short, change, order))
        this = mutants[-1].number
        result.append(text[at:start])
        result.append(" <mt_mutation::%s(%d)> " % (KIND[operator], this) if operator else
                      "if (!mt_mutant_is(%d)) %s" % (this, text[start:end]))
        at = end
    return "".join(result) + text[at:]


def prepare(source, work):
    """Writes the mutated kernels; returns the mutants and the .cu files."""
    folder, mutants, skipped = os.path.join(source, "ops_cuda"), [], []
    target = os.path.join(work, "ops_cuda")
    os.mkdir(target)
    os.symlink(os.path.join(folder, "sim"), os.path.join(target, "sim"))
    files = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name in ("launch.cuh", "twin_cuda.cuh"):
            shutil.copy(path, target)
        elif name.endswith((".cu", ".cuh")):
            write(os.path.join(target, name), mutate(path, mutants, skipped))
            files += [name] if name.endswith(".cu") else []
    write(os.path.join(work, "prelude.h"), PRELUDE)
    return mutants, files, skipped


def included(source, name):
    """The headers of ops_cuda that a file includes, and those that they include."""
    headers = set(re.findall(r'^#include "(\w+\.cuh)"', read(os.path.join(source, "ops_cuda", name)), re.M))
    return headers.union(*[included(source, header) for header in headers])


def needed(source, mutants, files):
    """Without the files that have no mutants but those of headers which others include too."""
    own = {m.file for m in mutants}
    rich = [name for name in files if name in own]
    for name in files:
        if name not in own and (own & included(source, name)) - set().union(*[included(source, n) for n in rich]):
            rich.append(name)
    return rich


def sample(mutants, count):
    """As many, spread evenly; barriers first, for there are few."""
    if count >= len(mutants):
        return mutants
    barriers = [m for m in mutants if m.key.endswith("removed")]
    others = [m for m in mutants if m not in barriers]
    chosen = barriers[:count]
    left = count - len(chosen)
    return chosen + [others[i * len(others) // left] for i in range(left) if left > 0]


def equivalents(source):
    """The listed mutants and their reasons: a line with the key, then an indented one with the reason."""
    listed, key = {}, None
    for line in read(os.path.join(source, "tests", "mutate_equivalent.txt")).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(" "):
            key = line.strip()
            listed[key] = ""
        else:
            listed[key] += line.strip()
    return listed


def runs(program, group, number, limit):
    """"" when the group passes, else how it does not."""
    try:
        done = run([program, group], timeout=limit, env=dict(os.environ, MT_MUTANT=str(number), MT_TEST_SEED="1"))
    except subprocess.TimeoutExpired:
        return "takes too long"
    if done.returncode == 0:
        return ""
    said = re.search(r"backend gpu-sim: ([^\n]*)", done.stdout)
    return said.group(1) if said else "signal %d" % -done.returncode if done.returncode < 0 else "a wrong result"


def judge(program, mutant, limits):
    for group in mutant.groups:
        how = runs(program, group, mutant.number, limits[group])
        if how:
            return "%s: %s" % (group, how)
    return ""


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("source")
    parser.add_argument("build")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--file")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true")
    for name in ("--libraries", "--cc", "--sim"):
        parser.add_argument(name, nargs=argparse.REMAINDER if name == "--sim" else "+", default=[])
    # Flags of compilers begin with dashes too: what stands behind --cc and --sim is cut off first.
    arguments, lists = sys.argv[1:], {}
    for name in ("--sim", "--cc", "--libraries"):
        if name in arguments:
            at = arguments.index(name)
            lists[name], arguments = arguments[at + 1:], arguments[:at]
    options = parser.parse_args(arguments)
    libraries, cc, sim = (lists.get(name, []) for name in ("--libraries", "--cc", "--sim"))
    source, build = os.path.abspath(options.source), os.path.abspath(options.build)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=build, prefix="mutate-") as work:
        mutants, files, skipped = prepare(source, work)
        if options.list:
            for m in mutants:
                print("%4d %s:%d  %s" % (m.number, m.file, m.line, m.key))
            return 0
        print("%d mutants in %d files; %d comparisons are decided by the compiler" % (
            len(mutants), len(set(m.file for m in mutants)), len(skipped)))
        if options.file:
            files = [name for name in files if name == options.file or options.file in included(source, name)]
        elif options.sample:
            files = needed(source, mutants, files)
        objects, commands = [], []
        for name in files:
            objects.append(os.path.join(work, name + ".o"))
            quiet = [flag for flag in sim if not flag.startswith("-W")]
            commands.append(quiet + BOUNDS + ["-w", "-include", os.path.join(work, "prelude.h"), "-I" + work, "-I" + source, "-c",
                                     os.path.join(work, "ops_cuda", name), "-o", objects[-1]])
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(must, commands))
        program = os.path.join(work, "mutate_ops")
        must(cc + objects + libraries + ["-lm", "-lstdc++", "-pthread", "-o", program])
        print("%5.1f s  built" % (time.monotonic() - start), flush=True)

        groups, limits, cost = must([program, "--list"]).split(), {}, {}
        by_number = {m.number: m for m in mutants}
        for group in groups:
            began = time.monotonic()
            done = run([program, group], env=dict(os.environ, MT_MUTANT="trace", MT_TEST_SEED="1"))
            if done.returncode != 0:
                sys.exit("FAIL  %s fails with no mutant on\n%s" % (group, done.stdout[-3000:]))
            cost[group] = time.monotonic() - began
            limits[group] = max(LIMIT_LEAST, LIMIT_FACTOR * cost[group])
            for number in re.search(r"reached:([ \d]*)", done.stdout).group(1).split():
                by_number[int(number)].groups.append(group)
        for m in mutants:
            m.groups.sort(key=lambda g: cost[g])
        print("%5.1f s  %s" % (time.monotonic() - start, ", ".join("%s %.1f s" % (g, cost[g]) for g in groups)), flush=True)

        chosen = [m for m in mutants if not options.file or m.file == options.file]
        if options.sample:
            chosen = sample([m for m in chosen if m.groups], options.sample)
        listed, problems, caught = equivalents(source), 0, 0
        keys = {m.key for m in mutants}
        for key, reason in listed.items():
            if key not in keys or not reason:
                problems += 1
                print("FAIL  tests/mutate_equivalent.txt: %s: %s" % (key, "no reason" if not reason else "no such mutant"))
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for m, how in zip(chosen, pool.map(lambda m: judge(program, m, limits), chosen)):
                caught += bool(how)
                if bool(how) == (m.key in listed):
                    problems += 1
                    print("FAIL  %s:%d survives%s: %s" % (m.file, m.line, "" if m.groups else ", not reached", m.key) if not how
                          else "FAIL  listed as equivalent, and caught: %s\n      %s" % (m.key, how), flush=True)
        print("%5.1f s  %d of %d caught, %d equivalent, %d problems" % (
            time.monotonic() - start, caught, len(chosen), sum(m.key in listed for m in chosen), problems))
    return 1 if problems else 0


sys.exit(main())
