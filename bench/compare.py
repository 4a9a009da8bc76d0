#!/usr/bin/env python3
"""Two builds of this tree beside each other: what a call costs and what a step of training costs, by turns.

    compare.py PARENT_BUILD BUILD [--rounds N] [--threads N] [--names PARENT,THIS] [--output FILE]

Runs bench/dispatch and bench/train of both builds in the order A B, B A, A B, ..., so that what drifts meets both alike;
their threads are bound to processors (bench/bind.h). A figure of a case is the median of its rounds' medians, and a ratio
above 1.1 is marked. Printed, and written to FILE. Marks are for readers and change no exit status: that is 1 when a
program of BUILD fails, or when the two have no case in common; a program of the parent that fails is told in the report.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from results import cpu_name, seconds

PROGRAMS = {"dispatch": [], "train": ["--no-peers"]}
MARKED = 1.1


class Failed(Exception):
    pass


def run(build, program, options):
    """{case: seconds} of one run."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.json")
        command = [os.path.join(build, "bench", program), "--json", path, *options]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                  text=True, errors="replace", timeout=300, check=False)
            if done.returncode != 0:
                raise Failed("bench/%s ended with status %d: %s" % (program, done.returncode, done.stderr.strip()[-1000:]))
            with open(path, encoding="utf-8") as stream:
                rows = json.load(stream)[1:]  # behind the machine
            return {(program, row["work"], row["shape"]): row["seconds"] for row in rows if not row["peer"]}
        except (OSError, subprocess.TimeoutExpired, ValueError, LookupError) as error:
            raise Failed("bench/%s: %s" % (program, error)) from error


def measure(builds, rounds, options):
    """[{case: seconds of each round}] of the builds; the figures of a program whose parent fails are of BUILD alone."""
    figures, told = [{}, {}], {}
    for i in range(rounds):
        for program, more in PROGRAMS.items():
            for k in (0, 1) if i % 2 == 0 else (1, 0):
                try:
                    found = {} if k == 0 and program in told else run(builds[k], program, [*more, *options])
                except Failed as failure:
                    if k == 1:
                        raise
                    found, told[program] = {}, "the parent cannot be measured: %s" % failure
                for case, value in found.items():
                    figures[k].setdefault(case, []).append(value)
    return figures, list(told.values())


def rows_of(figures):
    """(case, the parent's median, this one's, ratio, the parent's largest figure over its smallest); None where there is none."""
    before, now = ({case: statistics.median(values) for case, values in side.items()} for side in figures)
    for case in [*now, *(case for case in before if case not in now)]:
        both = case in before and case in now
        spread = max(figures[0][case]) / min(figures[0][case]) if case in before else None
        yield case, before.get(case), now.get(case), now[case] / before[case] if both else None, spread


def table(rows):
    cells = [("case", "parent", "this one", "ratio", "spread", "")]
    for case, before, now, ratio, spread in rows:
        cells.append((": ".join(case[:2]) + ", " + case[2],
                      *("-" if value is None else seconds(value) for value in (before, now)),
                      *("-" if value is None else "%.2f" % value for value in (ratio, spread)),
                      "  above %.1f" % MARKED if ratio is not None and ratio > MARKED else ""))
    wide = [max(len(row[i]) for row in cells) for i in range(5)]
    return ["  ".join([row[0].ljust(wide[0]), *(row[i].rjust(wide[i]) for i in range(1, 5))]) + row[5] for row in cells]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("parent")
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--names", default="the parent,this one")
    parser.add_argument("--output")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    try:
        figures, told = measure([options.parent, options.build], options.rounds, ["--threads", str(options.threads)])
    except Failed as failure:
        sys.exit("compare.py: %s" % failure)
    rows = list(rows_of(figures))
    ratios = [row[3] for row in rows if row[3] is not None]
    if not ratios and not told:
        sys.exit("compare.py: the two builds have no case in common")
    parent, _, this = options.names.partition(",")
    text = "\n".join([
        "%s beside %s: medians of %d rounds by turns, %d threads" % (this, parent, options.rounds, options.threads),
        "%s, load %.1f at the start" % (cpu_name(), load),
        "spread: the parent's slowest round over its fastest; a ratio within it says nothing", "",
        *table(rows), "", *told,
        "%d of %d cases took more than %.1f times as long" % (sum(r > MARKED for r in ratios), len(ratios), MARKED)]) + "\n"
    sys.stdout.write(text)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as stream:
            stream.write(text)


if __name__ == "__main__":
    main()
