#!/usr/bin/env python3
"""Random programs give the same on every backend, and what PyTorch gives.

    random_programs.py PROGRAM [--seed N] [--programs N] [--size N] [--backends simple,cpu] [--torch]
    random_programs.py PROGRAM --find-faults          whether wrong operations are found and made small

PROGRAM is random_programs of the double library, which draws programs from the list of operations and runs them.
Without --torch every backend is compared with the first, and `cpu` with itself on another number of threads, to the
last bit. With it every backend is compared with PyTorch (torch_programs.py), values and gradients, to 1e-9 of the
tensor's largest element; where PyTorch is not installed that is skipped, with a sentence. A failure is made smaller as
long as it still fails, and printed with the command that repeats it. The seed is a new one each time unless it is given.
"""
import argparse
import math
import os
import subprocess
import sys
import time

import torch_programs

TOLERANCE = {"torch": 1e-9, "backend": 1e-11}  # a hundred roundings, times the 1e3 that random_programs.c lets one grow by
LEAST_SCALE = 1e-2  # as in random_programs.c: differences count against a tensor's largest element, or this
FAULTS = [("gradient", "mul"), ("value", "tanh"), ("gradient", "softmax"), ("value", "sum"), ("gradient", "matmul")]


class Item:
    """A leaf (kind, grad, shape, values) or, with an operation, a node (attributes, inputs)."""

    def __init__(self, operation=None, **fields):
        self.operation, self.inputs = operation, []
        self.__dict__.update(fields)

    def copy(self, **fields):
        return Item(**{**self.__dict__, **fields})


def number(text):
    return int(text) if text.lstrip("-").isdigit() else float(text)


def attribute(text):
    """A number, a list of integers (None: all), or a name."""
    name, value = text.split("=")
    if value[0] == "[":
        return name, [int(v) for v in value[1:-1].split(",")]
    try:
        return name, None if value == "all" else number(value)
    except ValueError:
        return name, value


class Program:
    def __init__(self, seed, fused, items=(), cotangents=()):
        self.seed, self.fused, self.items, self.cotangents = seed, fused, list(items), dict(cotangents)

    def text(self):
        lines = ["program %s %s" % (self.seed, self.fused)]
        for item in self.items:
            if item.operation is None:
                shape = "x".join(map(str, item.shape))
                lines.append(" ".join(["leaf", item.kind, "grad" if item.grad else "const", shape, *map(repr, item.values)]))
            else:
                given = []
                for name, value in item.attributes.items():
                    if isinstance(value, list):
                        value = "[" + ",".join(map(str, value)) + "]"
                    given.append("%s=%s" % (name, "all" if value is None else value))
                lines.append(" ".join(["node", item.operation, *given, ":", *map(str, item.inputs)]))
        for k, numbers in self.cotangents.items():
            lines.append(" ".join(["cotangent", str(k), *map(repr, numbers)]))
        return "\n".join(lines + ["end", ""])

    def nodes(self):
        return sum(item.operation is not None for item in self.items)

    def only(self, roots):
        """What the roots need, numbered anew."""
        needed, todo = set(), list(roots)
        while todo:
            k = todo.pop()
            if k not in needed:
                needed.add(k)
                todo += self.items[k].inputs
        new = {k: i for i, k in enumerate(sorted(needed))}
        items = [self.items[k].copy(inputs=[new[i] for i in self.items[k].inputs]) for k in sorted(needed)]
        cotangents = {new[k]: v for k, v in self.cotangents.items() if k in new}
        return Program(self.seed, self.fused, items, cotangents)


def read_programs(text):
    programs = []
    for line in text.splitlines():
        word = line.split()
        if word[0] == "program":
            programs.append(Program(word[1], word[2]))
        elif word[0] == "leaf":
            shape = tuple(int(v) for v in word[3].split("x"))
            programs[-1].items.append(
                Item(kind=word[1], grad=word[2] == "grad", shape=shape, values=[float(v) for v in word[4:]]))
        elif word[0] == "node":
            colon = word.index(":")
            programs[-1].items.append(Item(word[1], attributes=dict(attribute(a) for a in word[2:colon])))
            programs[-1].items[-1].inputs = [int(v) for v in word[colon + 1:]]
        elif word[0] == "cotangent":
            programs[-1].cotangents[int(word[1])] = [float(v) for v in word[2:]]
    return programs


def read_outcomes(text):
    """Of each program ({item: (kind, shape, numbers)}, {leaf: numbers}), or Refused."""
    outcomes, values, gradients, refused = [], {}, {}, None
    for line in text.splitlines():
        word = line.split()
        if word[0] == "value":
            values[int(word[1])] = (word[2], tuple(int(v) for v in word[3].split("x")), [float(v) for v in word[4:]])
        elif word[0] == "gradient":
            gradients[int(word[1])] = [float(v) for v in word[2:]]
        elif word[0] == "refused":
            refused = Refused(int(word[1]), line.split(" ", 2)[2])
        elif word[0] == "end":
            outcomes.append(refused or (values, gradients))
            values, gradients, refused = {}, {}, None
    return outcomes


def difference(got, want, tolerance):
    """The first number of got that is too far from want's, as a sentence; None when there is none."""
    scale = max([LEAST_SCALE] + [abs(w) for w in want if math.isfinite(w)])
    if len(got) != len(want):
        return "%d numbers instead of %d" % (len(got), len(want))
    for i, (g, w) in enumerate(zip(got, want)):
        close = abs(g - w) <= tolerance * scale if math.isfinite(w) and math.isfinite(g) else str(g) == str(w)
        if not close:
            return "element %d is %.17g instead of %.17g" % (i, g, w)
    return None


class Failure:
    """what: the operation whose value is wrong, `gradient`, or who refused what; item: of the program; -1: backward."""

    def __init__(self, what, item, sentence):
        self.what, self.item, self.sentence = what, item, sentence


def compare(program, got, want, tolerance):
    if got == want:
        return None
    refused = [isinstance(outcome, Refused) for outcome in (got, want)]
    if any(refused):
        who = ("both" if all(refused) else "the tested" if refused[0] else "the reference") + " refused "
        first = got if refused[0] else want
        name = program.items[first.item].operation if first.item >= 0 else "backward"
        return Failure(who + name, first.item, "%s%s: %s" % (who, name, first.sentence))
    for k, (kind, shape, numbers) in want[0].items():
        name = program.items[k].operation
        if got[0][k][:2] != (kind, shape):
            return Failure(name, k, "item %d, %s: %s %s instead of %s %s" % (k, name, *got[0][k][:2], kind, shape))
        text = difference(got[0][k][2], numbers, tolerance)
        if text:
            return Failure(name, k, "item %d, %s: %s" % (k, name, text))
    for k, numbers in want[1].items():
        text = difference(got[1][k], numbers, tolerance)
        if text:
            return Failure("gradient", k, "gradient of item %d: %s" % (k, text))
    return None


class Refused:
    """In the place of an outcome: which item was refused (-1: backward, or the process ended) and why."""

    def __init__(self, item, sentence):
        self.item, self.sentence = item, sentence


class Checker:
    """Compares one backend with the reference: another backend, or torch."""

    def __init__(self, program, backend, reference, spoil=()):
        self.program, self.backend, self.reference, self.spoil = program, backend, reference, list(spoil)
        self.tolerance = TOLERANCE["torch" if reference == "torch" else "backend"]

    def run(self, programs, backend, spoil=(), threads=2):
        return subprocess.run([self.program, "run", backend, *spoil], input="".join(p.text() for p in programs), text=True,
                              stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, check=False)

    def outcomes(self, programs, backend, spoil=()):
        done = self.run(programs, backend, spoil)
        found = read_outcomes(done.stdout)
        if done.returncode != 0:  # it died in the next one
            found.append(Refused(-1, "the process ended with status %d" % done.returncode))
            found += self.outcomes(programs[len(found):], backend, spoil) if len(found) < len(programs) else []
        return found

    def wanted(self, programs):
        if self.reference != "torch":
            return self.outcomes(programs, self.reference)
        wanted = []
        for p in programs:
            try:
                wanted.append(torch_programs.evaluate(p))
            except torch_programs.Refusal as error:
                wanted.append(Refused(*error.args))
        return wanted

    def failures(self, programs, wanted=None):
        got = self.outcomes(programs, self.backend, self.spoil)
        return [compare(p, g, w, self.tolerance) for p, g, w in zip(programs, got, wanted or self.wanted(programs))]


# ---- smaller programs ----


def cut(item, sizes):
    """A leaf with the first sizes[d] of each dimension d, its values rounded to what is left."""
    values, index = [], [0] * len(sizes)
    for _ in range(math.prod(sizes)):
        at = 0
        for d, size in enumerate(item.shape):
            at = at * size + index[d]
        values.append(item.values[at])
        for d in reversed(range(len(sizes))):
            index[d] += 1
            if index[d] < sizes[d]:
                break
            index[d] = 0
    return item.copy(shape=tuple(sizes), values=values)


def replaced(program, changes, cotangents=None):
    items = [changes.get(k, item) for k, item in enumerate(program.items)]
    return Program(program.seed, program.fused, items, program.cotangents if cotangents is None else cotangents)


def without(program, k, by):
    """Item k's users use item `by` instead, and backward starts there."""
    items = [item.copy(inputs=[by if i == k else i for i in item.inputs]) for item in program.items]
    cotangents = {by if i == k else i: v for i, v in program.cotangents.items()}
    return Program(program.seed, program.fused, items, cotangents)


def smaller(program, values):
    """Programs that are simpler in one respect, the boldest first; values: what the nodes gave."""
    items = program.items
    for k in program.cotangents:
        if len(program.cotangents) > 1:
            yield replaced(program, {}, {k: program.cotangents[k]})
    nodes = [k for k, item in enumerate(items) if item.operation is not None]
    for k in reversed(nodes):
        for i in dict.fromkeys(items[k].inputs):
            yield without(program, k, i)
    for k in nodes:
        kind, shape, numbers = values[k]
        if all(map(math.isfinite, numbers)) and k not in program.cotangents:
            leaf = Item(kind=kind, grad=kind == "real", shape=shape, values=numbers)
            yield replaced(program, {k: leaf})
            yield replaced(program, {k: leaf.copy(grad=False)})
    for k in nodes:
        for i in range(len(items[k].inputs)):
            yield replaced(program, {k: items[k].copy(inputs=items[k].inputs[:i] + items[k].inputs[i + 1:])})
    leaves = [k for k, item in enumerate(items) if item.operation is None]
    for size in sorted({size for k in leaves for size in items[k].shape if size > 1}, reverse=True):
        for less in sorted({1, 2, size - 1} - {size}):
            changes = {k: cut(items[k], [less if s == size else s for s in items[k].shape]) for k in leaves}
            yield replaced(program, changes)
            for k in nodes:
                given = {name: [less if v == size else v for v in value] if isinstance(value, list) else value
                         for name, value in items[k].attributes.items()}
                changes[k] = items[k].copy(attributes=given)
            yield replaced(program, changes)
    for k in leaves:
        for d, size in enumerate(items[k].shape):
            if size > 1:
                yield replaced(program, {k: cut(items[k], [*items[k].shape[:d], 1, *items[k].shape[d + 1:]])})
        if items[k].shape[0] == 1 and len(items[k].shape) > 1:
            yield replaced(program, {k: items[k].copy(shape=items[k].shape[1:])})
        if items[k].kind == "real":
            short = items[k].copy(values=[float("%.2g" % v) for v in items[k].values])
            if short.values != items[k].values:
                yield replaced(program, {k: short})
        if items[k].grad:
            yield replaced(program, {k: items[k].copy(grad=False)})
    for k, numbers in program.cotangents.items():
        if numbers != [1.0]:
            yield replaced(program, {}, {**program.cotangents, k: [1.0]})


def shrink(checker, program, failure):
    """The smallest program found that fails in the same way."""

    def needed(p, item):
        backward = failure.what == "gradient" or item < 0
        return (p if backward else replaced(p, {}, {})).only(p.cotangents if backward else [item])

    program = needed(program, failure.item)
    failure = checker.failures([program])[0] or failure
    while True:
        values = checker.outcomes([program], "simple")[0]
        if isinstance(values, Refused):
            return program, failure
        candidates = {p.text(): p for p in (needed(p, failure.item) for p in smaller(program, values[0]))}
        candidates.pop(program.text(), None)
        candidates = list(candidates.values())
        for i in range(0, len(candidates), 20):
            part = candidates[i:i + 20]
            found = [(p, f) for p, f in zip(part, checker.failures(part)) if f and f.what == failure.what]
            if found:
                program, failure = found[0]
                program = needed(program, failure.item)
                failure = checker.failures([program])[0] or failure
                break
        else:
            return program, failure


# ---- the test ----


def draw(arguments, seed, count):
    command = [arguments.program, "draw", str(seed), str(count), str(arguments.size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit("FAIL  %s: status %d\n%s" % (" ".join(command), done.returncode, done.stderr))
    return read_programs(done.stdout), done.stderr.strip()


def report(arguments, checker, program, failure):
    print("FAIL  seed %s, %s beside %s: %s" % (program.seed, checker.backend, checker.reference, failure.sentence))
    small, failure = shrink(checker, program, failure)
    print("the smallest that fails: %s\n%s" % (failure.sentence, small.text()))
    print("repeat with: %s %s --seed %s --programs 1 --size %d --backends %s%s" % (
        sys.argv[0], arguments.program, program.seed, arguments.size, checker.backend if checker.reference == "torch" else
        checker.reference + "," + checker.backend, " --torch" if checker.reference == "torch" else ""), flush=True)
    return small


def check(arguments):
    backends = arguments.backends.split(",")
    reference = "torch" if arguments.torch else backends.pop(0)
    failed, drawn, since = 0, {}, time.time()
    for start in range(0, arguments.programs, 250):
        programs, summary = draw(arguments, arguments.seed + start, min(250, arguments.programs - start))
        for p in programs:
            for item in p.items:
                drawn[item.operation] = drawn.get(item.operation, 0) + 1
        checkers = [Checker(arguments.program, backend, reference) for backend in backends]
        wanted = checkers[0].wanted(programs)
        for checker in checkers:
            for program, failure in zip(programs, checker.failures(programs, wanted)):
                if failure:
                    failed += 1
                    report(arguments, checker, program, failure)
                if failed == arguments.stop:
                    return failed
            if checker.backend == "cpu" and reference != "torch" and len(
                    {checker.run(programs, "cpu", threads=threads).stdout for threads in (1, 2, 3)}) > 1:
                failed += 1
                print("FAIL  seeds from %d: cpu gives other bits on 1, 2 and 3 threads" % (arguments.seed + start))
        if arguments.verbose:
            print(summary, flush=True)
    for name in operations(arguments.program):
        if arguments.programs >= 200 and name not in drawn:
            failed += 1
            print("FAIL  %s was never drawn: its rule accepts nothing that random_programs.c makes of its examples" % name)
    nodes = sum(count for name, count in drawn.items() if name)
    print("%s: %d programs of %d operations, each of the %d that there are at least %d times, in %.1f s; %d failed" % (
        " and ".join(backends) + " beside " + reference, arguments.programs, nodes, len(drawn) - 1,
        min(drawn.values()), time.time() - since, failed))
    return failed


def operations(program):
    return subprocess.run([program, "list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def find_faults(arguments):
    """A program of the seeds finds each of FAULTS on cpu, beside simple, and is made as small as 3 nodes."""
    programs, _ = draw(arguments, arguments.seed, 200)
    failed = 0
    for fault in FAULTS:
        checker = Checker(arguments.program, "cpu", "simple", fault)
        found = [(p, f) for p, f in zip(programs, checker.failures(programs)) if f]
        if not found:
            failed += 1
            print("FAIL  a wrong %s of %s was not found" % fault)
            continue
        small, failure = shrink(checker, *max(found, key=lambda pair: pair[0].nodes()))
        good = small.nodes() <= 3 and any(item.operation == fault[1] for item in small.items)
        failed += not good
        print("%s a wrong %s of %s: found in %d of %d programs; the largest became %d node%s" % (
            "ok   " if good else "FAIL ", *fault, len(found), len(programs), small.nodes(), "s" * (small.nodes() != 1)))
        if not good:
            print(small.text() + failure.sentence)
    return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--seed", type=int, default=int(time.time() * 1000) % 10**9)
    parser.add_argument("--programs", type=int, default=300)
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--backends", default="simple,cpu")
    parser.add_argument("--stop", type=int, default=5, help="after that many failures")
    parser.add_argument("--torch", action="store_true")
    parser.add_argument("--find-faults", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    print("seed %d" % arguments.seed, flush=True)
    if arguments.find_faults:
        return 1 if find_faults(arguments) else 0
    lacking = [name for name in operations(arguments.program) if name not in torch_programs.expressions]
    for name in lacking:
        print("FAIL  %s has no line in `expressions` of tests/torch_programs.py; add one" % name)
    if arguments.torch and not torch_programs.torch:
        print("skipped: PyTorch is not installed for this Python, so nothing is compared with it (pip install torch)")
        return 1 if lacking else 77
    return 1 if lacking or check(arguments) else 0


if __name__ == "__main__":
    sys.exit(main())
