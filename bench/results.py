#!/usr/bin/env python3
"""Writes docs/results.md and its pictures: training logs, products, diagnostics and benches, all measured now.

    results.py BUILD_DIRECTORY OUTPUT_DIRECTORY [--quick] [--threads N]

`meson compile -C build results` calls it for docs/. The environment variable BENCH_PYTHON names the python that may
have PyTorch, NumPy and JAX (default python3), BENCH_THREADS the threads where --threads does not. Nothing is kept of
an earlier run, so the page is of one machine and one day.
"""
import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile

DATASETS = ["simple", "diag", "split", "xor", "circle", "spiral"]
SPIRAL = ["--optimizer", "adam", "--rate", "0.01"]
PICTURES = ["xor", "spiral"]
BACKENDS = ["cpu", "simple", "gpu-sim", "gpu"]
PROGRAMS = ["project/run_fast", "bench/matmul_sweep", "bench/train", "bench/ops", "bench/scaling", "bench/dispatch",
            "bench/pool", "bench/parallel_check"]
ABSENT = "not measured"
MOST_PERCENT = 105  # of a ceiling; above that one of the two figures was disturbed
DIAGNOSTICS = [
    ("map", ["--op", "sigmoid", "--shape", "1000x1000"]),
    ("zip, one operand broadcast", ["--op", "add", "--shape", "1000x1000", "--other", "1000"]),
    ("reduce", ["--op", "sum", "--shape", "1000x1000", "--dim", "0"]),
    ("matrix multiplication", ["--op", "matmul", "--shape", "512x512"]),
    ("the same on one thread", ["--op", "matmul", "--shape", "512x512", "--threads", "1"]),
    ("matrix multiplication of the toy network", ["--op", "matmul", "--shape", "10x100", "--other", "100x100"]),
]


class Page:
    def __init__(self, options):
        self.options = options
        self.lines = []
        self.errors = ""  # what the last program wrote on stderr
        self.available = available_backends(self)

    def add(self, *lines):
        for line in lines:
            self.lines += [line, ""]

    def table(self, heading, rows):
        self.lines += ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
        self.lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
        self.lines += [""]

    def code(self, text):
        self.lines += ["```", *(line.rstrip() for line in text.strip("\n").split("\n")), "```", ""]

    def run(self, folder, name, *arguments):
        """What a program prints; there is no page when it fails."""
        command = [os.path.join(self.options.build, folder, name), *arguments]
        print("$ " + " ".join([name, *arguments]), file=sys.stderr, flush=True)
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.errors = result.stderr.decode()
        if result.returncode != 0:
            sys.exit(f"{name} ended with status {result.returncode}: {self.errors}")
        for line in self.errors.splitlines():
            if "disturbed" in line or "warning" in line:
                print(line, file=sys.stderr, flush=True)
        return result.stdout.decode()

    def bench(self, name, *arguments):
        """The objects of a bench's --json: the machine and the rows."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "rows.json")
            quick = ["--quick"] if self.options.quick else []
            text = self.run("bench", name, *arguments, *quick, "--threads", str(self.options.threads), "--json", path)
            with open(path, encoding="utf-8") as stream:
                rows = json.load(stream)
        return rows[0], rows[1:], text


def seconds(value):
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)):
        if value * scale >= 1 or unit == "ns":
            return f"{value * scale:.3g} {unit}"
    return ""


def share(percent):
    """The share of a ceiling, marked where it cannot be; nothing where there is none."""
    return "" if percent is None else f"{percent:.0f} %{' (!)' if percent > MOST_PERCENT else ''}"


def spread(*rows):
    """How far the quartiles of each row lie apart, in percent of its median."""
    return " / ".join(f"{100 * (row['high'] - row['low']) / row['seconds']:.0f}" if row else "-" for row in rows) + " %"


def cpu_name():
    """The name, with the numbers that tell a generation where the name does not, and the vector instructions."""
    facts = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            for line in stream:
                key, _, value = line.partition(":")
                facts.setdefault(key.strip(), value.strip())
    except OSError:
        pass
    if "model name" not in facts:
        return platform.processor() or "an unknown processor"
    vectors = [flag for flag in ("avx2", "avx512f") if flag in facts.get("flags", "").split()]
    return (f"{facts['model name']} (family {facts.get('cpu family')}, model {facts.get('model')}; "
            f"{', '.join(vectors) or 'no wide vectors'})")


def write_head(page, load):
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    page.add("# Results")
    page.add("Every figure on this page was measured by `meson compile -C build results`, which writes the page anew.")
    page.table(["", ""], [
        ["processor", f"{cpu_name()}, {processors} processors"],
        ["date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")],
        ["system", f"{platform.system()} {platform.machine()}"],
        ["threads", f"{page.options.threads}, where nothing else is said"],
        ["load average", f"{load:.1f} at the start, LOAD_AT_END at the end"],
        ["GPU", "measured where a column says gpu" if "gpu" in page.available else f"{ABSENT}: {why_absent(page, 'gpu')}"],
    ])
    if load > 0.3 * processors:
        page.add("**The machine was busy with other work while this was measured.** Losses, points and diagnostics do "
                 "not depend on that; times do, ratios between neighbouring lines somewhat less. Figures to quote "
                 "need this page to be written again on a quiet machine.")
    if page.options.quick:
        page.add("**A quick run: few repetitions and small sizes. Its times mean nothing.**")


def train(page, dataset, backend, epochs, every, *more):
    text = page.run("project", "run_fast", "--dataset", dataset, "--backend", backend, "--epochs", str(epochs), "--every",
                    str(every), "--log", "json", "--threads", str(page.options.threads), "--quiet", *more)
    objects = [json.loads(line) for line in text.splitlines()]
    return objects


def available_backends(page):
    words = [line.split() for line in page.run("project", "run_fast", "--list-backends").splitlines()]
    return [word[0] for word in words if word[1] == "available"]


def why_absent(page, backend):
    """The sentence with which a program refuses a backend."""
    command = [os.path.join(page.options.build, "project/run_fast"), "--backend", backend, "--epochs", "1"]
    result = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    return (result.stderr.decode().strip().splitlines() or ["nobody knows why"])[-1].partition(": ")[2]


def write_training(page):
    quick, available = page.options.quick, page.available
    absent = [backend for backend in BACKENDS if backend not in available]
    page.add("## Training", "A 2-100-100-1 network on 50 points, batches of 10, plain SGD at a rate of 0.05 from seed 1; "
             "spiral with Adam at 0.01. Loss is the sum over the last batch of the epoch, as minitorch prints it; "
             "correct is out of 50. The backends compute in another order, so their last digits part. `simple` is the "
             "serial oracle; `gpu-sim` runs the CUDA kernels on the processor and checks every access.")
    times = []
    for dataset in DATASETS[:2] if quick else DATASETS:
        more = SPIRAL if dataset == "spiral" else []
        epochs = 20 if quick else 1000 if dataset == "spiral" else 500
        every = epochs // 10
        plot = []
        if dataset in PICTURES and not quick and shutil.which("gnuplot"):
            plot = ["--plot", os.path.join(page.options.output, "img", dataset + ".svg")]
        runs = {backend: train(page, dataset, backend, epochs, every, *more, *(plot if backend == "cpu" else []))
                for backend in BACKENDS if backend in available}
        page.add(f"### {dataset}", f"`run_fast --dataset {dataset} --epochs {epochs} --every {every}"
                 f"{''.join(' ' + word for word in more)}`, with `--backend` " + ", ".join(f"`{b}`" for b in runs))
        page.table(["epoch", *(cell for backend in runs for cell in (backend + ": loss", "correct")), *absent],
                   [[line[0]["epoch"], *(cell for at in line for cell in (f"{at['loss']:.5f}", at["correct"])),
                     *[ABSENT] * len(absent)] for line in zip(*runs.values())])
        if plot:
            page.add(f"![decision regions and loss for {dataset}](img/{dataset}.svg)")
        times.append([dataset, *(f"{lines[-1]['ms_per_epoch']:.3g} ms" for lines in runs.values()),
                      f"{runs['simple'][-1]['ms_per_epoch'] / runs['cpu'][-1]['ms_per_epoch']:.0f}",
                      *[ABSENT] * len(absent)])
    page.add("### Time of an epoch")
    page.table(["data set", *runs, "simple over cpu", *absent], times)
    hidden, slow_epochs = (200, 2) if quick else (1000, 10)
    page.add(f"### Hidden {hidden}", f"`run_fast --dataset xor --hidden {hidden}`")
    fast = train(page, "xor", "cpu", 10 * slow_epochs, slow_epochs, "--hidden", str(hidden))
    slow = train(page, "xor", "simple", slow_epochs, 1, "--hidden", str(hidden))
    body = [["cpu", f"{fast[-1]['ms_per_epoch']:.3g}", 10 * slow_epochs],
            ["simple", f"{slow[-1]['ms_per_epoch']:.4g}", slow_epochs], ["gpu", ABSENT, ""]]
    if "gpu" in available:
        card = train(page, "xor", "gpu", 10 * slow_epochs, slow_epochs, "--hidden", str(hidden))
        body[-1] = ["gpu", f"{card[-1]['ms_per_epoch']:.3g}", 10 * slow_epochs]
    page.table(["backend", "ms an epoch", "epochs timed"], body)


def write_products(page):
    sizes = "16,32" if page.options.quick else "64,128,256,512,1024"
    draw = shutil.which("gnuplot") is not None
    plot = ["--plot", os.path.join(page.options.output, "img", "matmul_sweep.svg")] if draw else []
    machine, rows, _ = page.bench("matmul_sweep", "--openblas", "--batch", "1,2", "--sizes", sizes, *plot)
    blas = [line.partition(": ")[2] for line in page.errors.splitlines() if line.startswith("openblas: ")]
    if "gpu" in page.available:
        rows += page.bench("matmul_sweep", "--backend", "gpu", "--batch", "1,2", "--sizes", sizes)[1]
    page.add("## Matrix products", f"`matmul_sweep --openblas --batch 1,2`: (batch, n, n) products, GFLOP/s by the median "
             f"time, and the share of the multiply-add peak measured in the same run ({machine['fma_gflops']:.0f} GFLOP/s "
             f"with {machine['fma_with']}). `simple` is the serial oracle on one thread, and its share is of one thread's "
             f"peak. OpenBLAS: {blas[0]}. Spread: how far the quartiles lie apart, in percent of the median, of cpu, OpenBLAS "
             f"and `simple`; where it is large, something else ran. (!): more than {MOST_PERCENT} % of the peak, so one of the "
             "two was disturbed.")
    shapes = list(dict.fromkeys(row["shape"] for row in rows))
    found = {(row["shape"], row["engine"]): row for row in rows}
    body = []
    for shape in shapes:
        *cells, card = [found.get((shape, engine)) for engine in ("cpu", "openblas", "simple", "gpu")]
        texts = [f"{cell['gflops']:.4g} ({share(cell['percent'])})" if cell else "" for cell in cells]
        texts[1] = texts[1] or ABSENT
        body.append([shape, *texts,
                     f"{cells[1]['seconds'] / cells[0]['seconds']:.2f}" if cells[1] else "", spread(*cells),
                     f"{card['gflops']:.4g}" if card else ABSENT])
    page.table(["shape", "cpu", "OpenBLAS", "simple", "cpu over OpenBLAS", "spread", "gpu"], body)
    page.add("![GFLOP/s over n](img/matmul_sweep.svg)" if draw else "No picture: gnuplot is not installed.")


def write_benches(page):
    python = ["--python", os.environ.get("BENCH_PYTHON", "python3")]
    machine, rows, text = page.bench("train", *python)
    blas = [line.partition(": ")[2] for line in text.splitlines() if line.startswith("openblas: ")]
    page.add("## Training beside others", "`train`: an epoch of the toy network with its shuffling, a step of an MNIST-shaped "
             f"network (mean squared error). OpenBLAS is a step written by hand in C around its products ({blas[0]}). Ratios "
             "are times of ours; above 1 ours is faster. \"Of ceiling\" is the share of the multiply-add peak "
             f"({machine['fma_gflops']:.0f} GFLOP/s) that the products of the step reach.", SPREAD)
    write_peers(page, rows, text, ["openblas", "torch", "jax"])
    machine, rows, text = page.bench("ops", *python)
    page.add("## Operations", f"`ops`: every row of the operation table, reductions and layouts; and each operation on a "
             f"tape, with backward where it has a gradient (\"tape\"; no peers). Ceilings of this run: copy "
             f"{machine['copy_gbs']:.1f} GB/s, read {machine['read_gbs']:.1f} GB/s, at its start. \"Of ceiling\" stands where "
             "arrays are beyond the caches. Memory is faster in one minute than in the next, so there the copy or the "
             "read-only loop is measured again just before and just after the row, and the share is of the mean of the two. "
             f"(!): more than {MOST_PERCENT} %, so one of the three was disturbed, or a part of the arrays stayed in the last "
             "cache, as the longer arrays of the ceilings do not. Comparisons of PyTorch and NumPy write one byte a result, "
             "ours a number. NumPy uses one thread. Both are called from Python, which costs them about a microsecond a call "
             "and is part of their time: with 1000 elements it is most of it.", SPREAD)
    write_peers(page, rows, text, ["torch", "numpy"])
    for name, title in (("scaling", "## Threads"), ("dispatch", "## What a call costs"), ("pool", "## The arena")):
        if name == "scaling" and page.options.threads == 1:
            page.add(title, "Not measured: this page was written with one thread.")
            continue
        _, _, text = page.bench(name)
        page.add(title, f"`{name}`")
        page.code(text.split("\n", 1)[1])


SPREAD = ("Spread: how far the quartiles lie apart, in percent of the median, of ours and of each peer in the order of the "
          "columns; where it is large, something else ran.")


def write_peers(page, rows, text, peers):
    absent = [line for line in text.splitlines() if ": absent: " in line]
    if absent:
        page.add("Not measured: " + "; ".join(absent) + ".")
    found = {(row["work"], row["shape"], row["engine"]): row for row in rows}
    peers = [peer for peer in peers if any(row["engine"] == peer for row in rows)]
    body = []
    for row in rows:
        if row["peer"]:
            continue
        others = [found.get((row["work"], row["shape"], peer)) for peer in peers]
        body.append([row["work"], row["shape"], seconds(row["seconds"]),
                     share(row["percent"]),
                     *(f"{seconds(o['seconds'])} ({o['seconds'] / row['seconds']:.2f})" if o else "" for o in others),
                     spread(row, *others)])
    page.table(["work", "shape", "ours", "of ceiling", *(peer + " (ratio)" for peer in peers), "spread"], body)


def write_diagnostics(page):
    page.add("## Parallel diagnostics", "`parallel_check` answers what Numba's diagnostics tell. Where a line was read "
             "stands in brackets: from the backend's plan, from its kernel table, or from the calls of kernels as the "
             "operation ran.")
    for title, arguments in DIAGNOSTICS:
        arguments = arguments if "--threads" in arguments else [*arguments, "--threads", "2"]
        text = page.run("bench", "parallel_check", *arguments)
        page.add(f"### {title[0].upper()}{title[1:]}", f"`parallel_check {' '.join(arguments)}`")
        page.code(text)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build")
    parser.add_argument("output")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("BENCH_THREADS", os.cpu_count() or 1)))
    options = parser.parse_args()
    missing = [name for name in PROGRAMS if not os.path.isfile(os.path.join(options.build, name))]
    if missing:
        sys.exit(f"results.py: {options.build} is no build directory with every program: {missing[0]} is not there; "
                 "`meson compile -C BUILD` makes it")
    page = Page(options)
    os.makedirs(os.path.join(page.options.output, "img"), exist_ok=True)
    load = os.getloadavg()[0]
    write_head(page, load)
    write_training(page)
    write_products(page)
    write_benches(page)
    write_diagnostics(page)
    text = "\n".join(page.lines).rstrip() + "\n"
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    path = os.path.join(page.options.output, "results.md")
    with open(path + ".new", "w", encoding="utf-8") as stream:
        stream.write(text.replace("LOAD_AT_END", f"{os.getloadavg()[0]:.1f}"))
    os.replace(path + ".new", path)
    print("written: " + path, file=sys.stderr)


if __name__ == "__main__":
    main()
