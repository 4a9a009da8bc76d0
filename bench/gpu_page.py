#!/usr/bin/env python3
"""The page that bench/gpu.sh makes from its lines: `gpu_page.py CARD.jsonl PAGE.md` makes it again.

Of each figure the newest line counts; a table says from which run it is. What failed or could not be had is told of the run
that did a stage last.
"""
import collections
import json
import math
import re
import sys

import gpu_lines

PATH = re.compile(r"/(?:home|root|Users|work|mnt|tmp)/(?:[\w.+-]+/)*([\w.+-]+)")  # whose last part is enough on a page
REASONS = ("failed", "refused", "not_here")
# Those that ours are held to, in the order of the columns, and the words for a ratio. "ours graph" is no other's, and no ratio.
OWN = (("ours graph", "ours in a graph"),)
PEERS = (("cublas", "cuBLAS"), ("copy", "the copy"), ("torch", "PyTorch"), ("torch eager", "PyTorch eager"),
         ("torch graph", "PyTorch's graph"))


def as_object(line):
    """What a line of JSON says, or None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        fields = json.loads(line, parse_constant=lambda word: None)  # NaN and Infinity are not JSON
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and isinstance(fields.get("what"), str) else None


def number(fields, name):
    """A finite number, or None."""
    value = fields.get(name)
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return value if good else None


def figure(value):
    return "" if value is None else "%.0f" % value if abs(value) >= 1000 else "%.3g" % value


def spread(line):
    """ "20 % of 12": between the quartiles of 12 samples."""
    us, low, high = (number(line, name) for name in ("us", "low_us", "high_us"))
    samples = " of %.0f" % line["samples"] if number(line, "samples") else ""
    return "" if not us or low is None or high is None else "%.0f %%%s" % (100 * (high - low) / us, samples)


def time_of(line):
    """Microseconds, and a mark where the host's launching is in them."""
    return figure(number(line, "us")) + (" loop" if line.get("timing") == "loop" else "")


def rate(line):
    us = number(line, "us")
    if not us:
        return ""
    if number(line, "flops"):
        return "%s TFLOP/s" % figure(line["flops"] / us * 1e-6)
    return "%s GB/s" % figure(line["bytes"] / us * 1e-3) if number(line, "bytes") else ""


def in_words(line):
    """One line of the terminal: what came of it."""
    for reason in REASONS:
        if line.get(reason):
            return "%s: %s" % (reason.replace("_", " "), line[reason])
    if number(line, "us") is not None:
        wrong = "WRONG, error %s" % figure(number(line, "error")) if line.get("wrong") else ""
        return " ".join(filter(None, [figure(line["us"]) + " us", spread(line) and "spread " + spread(line), rate(line), wrong]))
    if line.get("passed"):
        return "passed" + (", error %.1e" % line["error"] if number(line, "error") is not None else "")
    shown = ["%s %s" % (key, figure(value) if number(line, key) is not None else value) for key, value in line.items()
             if key not in ("stage", "what", "case", "by") and not isinstance(value, (dict, list))]
    return ", ".join(shown) or "done"


class Figures:
    """The newest line for each figure, by stage, what, case and by."""

    def __init__(self, lines):
        self.lines = lines
        self.newest = {}
        for line in lines:
            key = tuple(str(line.get(name, "")) for name in ("stage", "what", "case", "by")) + (line.get("threads"),)
            had = self.newest.get(key)
            # A second try that was refused does not hide what the first one measured.
            if had is None or not any(line.get(reason) for reason in REASONS) or any(had.get(reason) for reason in REASONS):
                self.newest[key] = line
        self.runs = list(dict.fromkeys(line.get("run") for line in lines))

        # The run that did a stage last, which alone says whether something fails.
        self.last = {line.get("stage"): line.get("run") for line in lines if line["what"] != "clocks"}

    def of(self, stage, by=None):
        return [line for line in self.newest.values() if line.get("stage") == stage and (by is None or line.get("by") == by)]

    def of_last(self, stage):
        return [line for line in self.lines if line.get("stage") == stage and line.get("run") == self.last.get(stage)]

    def measured(self, stage, what, case, by):
        line = self.newest.get((stage, what, case, by, None))
        return line if line and number(line, "us") else None

    def run_number(self, *lines):
        numbers = sorted({self.runs.index(line["run"]) + 1 for line in lines if line and line.get("run") in self.runs})
        return ", ".join(map(str, numbers))

    def shares(self):
        """(share, line of ours, name of the peer), the worst first: the peer's time over ours."""
        found = []
        for stage in ("smoke", "numbers", "training"):
            for line in self.of(stage, "ours"):
                for by, name in PEERS:
                    peer = self.measured(stage, line["what"], line.get("case", ""), by)
                    if number(line, "us") and peer:
                        found.append((peer["us"] / line["us"], line, name))
        return sorted(found, key=lambda row: row[0])


def worst_text(lines):
    """One line: the three worst ratios."""
    worst = Figures(lines).shares()[:3]
    if not worst:
        return "no figure of ours stands beside another's"
    return "the worst three: " + "; ".join("%s %s at %.2f of %s" % (line["what"], line.get("case", ""), share, name)
                                           for share, line, name in worst)


# ---- the page ----

def table(heading, rows):
    if not rows:
        return []
    text = [[" ".join(PATH.sub(r"\1", str(cell)).replace("|", "\\|").split()) for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in (heading, *text)]
    return [lines[0], "|" + "---|" * len(heading), *lines[1:], ""]


def head(figures):
    last = figures.lines[-1]
    text = ["# %s" % last.get("card", "?"), ""]
    if last.get("rehearsal"):
        text += ["**A rehearsal on gpu-sim, which has no clock of a card: its times say nothing about any GPU.**", ""]
    else:
        text += ["Measured by `bench/gpu.sh`, which makes this page from the lines beside it. Ratios are the other's time over "
                 "ours: above 1 ours is faster. Spread: how far the quartiles lie apart, in percent of the median, of how "
                 "many samples. A time with *loop* is of calls that could not be put into a graph: launching them is in it.", ""]
    names = (("driver", "driver"), ("toolkit", "toolkit"), ("compute capability", "compute_capability"),
             ("memory, MiB", "memory_mib"), ("power limit, W", "power_limit_w"),
             ("highest clock of the multiprocessors, MHz", "most_sm_mhz"))
    text += table(["", ""], [[name, last[key]] for name, key in names if last.get(key)])
    rows = []
    for run in figures.runs:
        lines = [line for line in figures.lines if line.get("run") == run]
        clocks = [line["sm_mhz"] for line in lines if number(line, "us") and number(line, "sm_mhz")]
        stages = ["%s %.0f s" % (line["stage"], line["seconds"]) for line in lines if line.get("what") == "stage"]
        rows.append([figures.run_number(lines[0]), lines[0].get("time", ""), lines[0].get("commit", ""), ", ".join(stages),
                     "%.0f to %.0f" % (min(clocks), max(clocks)) if clocks else "not read"])
    return text + table(["run", "begun", "commit", "stages", "clock under load, MHz"], rows)


def worst(figures):
    rows = [["%s %s" % (line["what"], line.get("case", "")), name, "%.2f" % share]
            for share, line, name in figures.shares()[:3]]
    return ["## The worst three ratios", ""] + (table(["what", "held to", "ratio"], rows) or
                                                ["Nothing of ours stands beside another's yet.", ""])


def numbers(figures, stage, title):
    """A table for each kind of work in the lines of a stage."""
    ours = figures.of(stage, "ours")
    text = ["## " + title, ""] if ours else []
    for what in dict.fromkeys(line["what"] for line in ours):
        mine = [line for line in ours if line["what"] == what]
        peers = [(by, name) for by, name in OWN + PEERS
                 if any(figures.measured(stage, what, line.get("case", ""), by) for line in mine)]
        extra = [name for name in ("launches", "synchronisations") if any(name in line for line in mine)]
        rows, reasons = [], []
        for line in mine:
            beside = [figures.measured(stage, what, line.get("case", ""), by) for by, _ in peers]
            us = number(line, "us")
            error = number(line, "error")
            known = any(line.get(reason) for reason in REASONS)
            right = "**wrong**" if line.get("wrong") else "" if known or error is None else "exact" if error == 0 else (
                "%.0e of %.0e" % (error, number(line, "tolerance") or 0))
            ratios = ["%s (%.2f)" % (time_of(peer), peer["us"] / us) if peer and us else "" for peer in beside]
            reasons += [one["why_loop"] for one in (line, *beside) if one and one.get("why_loop")]
            rows.append([line.get("case", ""), time_of(line), spread(line), rate(line), *(line.get(name, "") for name in extra),
                         *ratios, right, figures.run_number(line, *beside)])
        heads = [name + ", us (ratio)" for _, name in peers]
        text += ["### " + what, "", *table(["case", "ours, us", "spread", "rate", *extra, *heads, "error", "run"], rows)]
        text += table(["loop, because", "times"], [[reason, count] for reason, count in collections.Counter(reasons).items()])
    return text


def tests(figures):
    rows = []
    for stage in ("smoke", "tests", "double", "sanitizer"):
        lines = [line for line in figures.of_last(stage) if line["what"] not in ("stage", "clocks")]
        for what in dict.fromkeys(line["what"] for line in lines):
            those = [line for line in lines if line["what"] == what]
            bad = [line for line in those if line.get("failed") or line.get("wrong")]
            passed = [line for line in those if line not in bad and (line.get("passed") or number(line, "error") is not None)]
            if passed or bad:
                rows.append([stage, what, len(passed), len(bad), ", ".join(str(line.get("case", "")) for line in bad)[:200],
                             figures.run_number(*those)])
    return (["## Right or wrong", ""] + table(["stage", "what", "passed", "failed", "which", "run"], rows)) if rows else []


def profile(figures):
    lines = [line for line in figures.of("ncu", "ncu") if number(line, "us")]
    columns = (("occupancy, %", "occupancy_percent"), ("issue, %", "issue_percent"), ("memory, %", "memory_percent"),
               ("bytes read", "bytes_read"), ("bytes written", "bytes_written"), ("conflicts reading", "conflicts_read"),
               ("conflicts writing", "conflicts_written"), ("registers", "registers"), ("blocks", "blocks"))
    rows = [[line["what"], "`%s`" % line.get("kernel", "").split("(")[0], figure(line["us"]),
             *(figure(number(line, key)) for _, key in columns), figures.run_number(line)] for line in lines]
    return (["## What the counters say", "", "From ncu, with the clocks left alone; bank conflicts are of shared memory.", ""] +
            table(["kernel", "name", "us", *(name for name, _ in columns), "run"], rows)) if rows else []


def processor(figures):
    lines = figures.of("cpu", "cpu")
    text = ["## The cpu backend of that machine", ""] if lines else []
    for what in dict.fromkeys(line["what"] for line in lines):
        mine = [line for line in lines if line["what"] == what]
        counts = sorted({line["threads"] for line in mine})
        times = {(line["case"], line["threads"]): line for line in mine}
        rows = [[case, *(figure(number(times.get((case, count), {}), "us")) for count in counts)]
                for case in dict.fromkeys(line["case"] for line in mine)]
        text += ["### %s, microseconds by threads" % what, "", *table(["case", *map(str, counts)], rows)]
    return text


def missing(figures, broken):
    rows = [[line.get("stage", ""), line["what"], line.get("case", ""), line.get("by", ""),
             "%s: %s" % (reason.replace("_", " "), line[reason]), line.get("log") or "", figures.run_number(line)]
            for stage in figures.last for line in figures.of_last(stage) for reason in REASONS if line.get(reason)]
    text = ["## What is missing, and why", ""]
    text += table(["stage", "what", "case", "by", "why", "log", "run"], rows) or ["Nothing.", ""]
    return text + (["%d lines of the file could not be read." % broken, ""] if broken else [])


def page(lines, broken=0):
    if not lines:
        return "# Nothing was measured\n"
    figures = Figures([line for line in lines if isinstance(line.get("what"), str)])
    text = head(figures) + worst(figures)
    for stage, title in (("smoke", "First of all"), ("numbers", "Operations"), ("training", "Training, a step")):
        text += numbers(figures, stage, title)
    text += tests(figures) + profile(figures) + processor(figures) + missing(figures, broken)
    return "\n".join(text).rstrip("\n") + "\n"


def write(source, target, more=()):
    """Makes the page from a file of lines and what it lacks of those of this run."""
    lines, broken = gpu_lines.read_lines(source)
    had = {json.dumps(line, sort_keys=True) for line in lines}
    lines += [line for line in more if json.dumps(line, sort_keys=True) not in had]
    gpu_lines.replace(target, page(lines, broken))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    write(sys.argv[1], sys.argv[2])
