#!/usr/bin/env python3
"""The measuring part of bench/gpu.sh, which calls it: tests, sanitizer, products, training, and one JSON file.

    gpu_measure.py --root ROOT --build BUILD [--yardsticks PROGRAM] [--rehearse FILE] [--spent SECONDS]

What cannot be done is named in the file, under "not_done", with the reason; a test that fails ends in exit 1, after the file
is written. Each part has a share of ten minutes, of which --spent are gone, and is cut off there. --rehearse does it all on gpu-sim with tiny sizes.
"""
import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

FIELDS = ("name", "driver_version", "compute_cap", "memory.total", "clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem",
          "power.limit", "temperature.gpu")
TEN_MINUTES = 585  # and time to write the file
NETWORKS = ((100, 50, 10), (1000, 1000, 100))  # hidden, points, batch


class Bench:
    def __init__(self, options):
        self.options = options
        self.backend = "gpu-sim" if options.rehearse else "gpu"
        self.result = {"backend": self.backend, "rehearsal": bool(options.rehearse), "not_done": {}}
        self.failed = False
        self.end = time.monotonic() + TEN_MINUTES - options.spent

    def program(self, *path):
        return os.path.join(self.options.build, *path)

    def skip(self, what, why):
        self.result["not_done"][what] = why
        print("not done: %s: %s" % (what, why), flush=True)

    def run(self, what, command, seconds):
        """Standard output, or None when it failed or took too long, which is noted."""
        seconds = int(min(seconds, self.end - time.monotonic()))
        if seconds < 1:
            self.skip(what, "the ten minutes are over")
            return None
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                                  timeout=seconds)
        except subprocess.TimeoutExpired:
            self.skip(what, "it took more than %d s" % seconds)
            return None
        except OSError as error:
            self.skip(what, str(error))
            return None
        if done.returncode != 0:
            self.failed = True
            self.skip(what, "it ends with %d: %s" % (done.returncode, (done.stderr + done.stdout).strip()[-600:]))
            return None
        return done.stdout

    # ---- the parts ----

    def machine(self):
        nvcc = shutil.which("nvcc")
        text = self.run("toolkit", [nvcc, "--version"], 20) if nvcc else None
        release = re.search(r"release ([\d.]+), V([\d.]+)", text or "")
        self.result["toolkit"] = release.group(2) if release else None
        if self.options.rehearse:
            self.result["gpu"] = {"name": "gpu-sim"}
            return
        text = self.run("nvidia-smi", ["nvidia-smi", "--query-gpu=" + ",".join(FIELDS), "--format=csv,noheader,nounits"], 20)
        values = [value.strip() for value in (text or "").split("\n")[0].split(",")]
        self.result["gpu"] = dict(zip(FIELDS, values))

    def tests(self):
        text = self.run("kernels of project/lab", [self.program("project", "lab", "lab"), "all", "--backend", self.backend,
                                                   "--size", "33x65x17,64x64x64,500x300x100" if self.backend == "gpu" else "9x9x9"],
                        60)
        self.result["lab"] = (text or "").splitlines()[1:]
        suite = "gpu" if self.backend == "gpu" else None
        if not suite:
            self.skip("tests", "a rehearsal")
            return
        text = self.run("tests", ["meson", "test", "-C", self.options.build, "--no-rebuild", "--suite", suite], 150)
        counts = re.findall(r"^(Ok|Fail|Skipped|Timeout):\s+(\d+)", text or "", re.M)
        counts = self.result["tests"] = {name.lower(): int(count) for name, count in counts}
        if text is not None and not counts.get("ok"):
            self.failed = True
            self.skip("tests", "no test ran on the GPU: %s" % text.strip()[-300:])

    def sanitizer(self):
        tool = shutil.which("compute-sanitizer")
        if self.options.rehearse or not tool:
            self.skip("compute-sanitizer", "a rehearsal" if self.options.rehearse else "it is not on the PATH")
            return
        lab = [self.program("project", "lab", "lab"), "all", "--backend", "gpu", "--size", "33x65x17,64x64x64"]
        train = [self.program("project", "run_fast"), "--backend", "gpu", "--dataset", "xor", "--epochs", "2"]
        self.result["sanitizer"] = {}
        for check, command in (("memcheck", train), ("racecheck", train), ("initcheck", lab), ("synccheck", lab)):
            text = self.run("compute-sanitizer " + check, [tool, "--tool", check, "--error-exitcode", "9"] + command, 60)
            self.result["sanitizer"][check] = "no fault" if text is not None else "see not_done"

    def products(self):
        sizes = ["64", "128", "256", "512", "1024", "2048", "4096"] if self.backend == "gpu" else ["16", "40"]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "sweep.csv")
            text = self.run("matmul", [self.program("bench", "matmul_sweep"), "--backend", self.backend, "--batch", "1", "--sizes",
                                       ",".join(sizes), "--csv", path], 60)
            rows = list(csv.DictReader(open(path, encoding="utf-8"))) if text is not None else []
        self.result["matmul_seconds"] = {row["size"]: float(row["seconds"]) for row in rows}
        if not self.options.yardsticks:
            self.skip("yardsticks", "a rehearsal" if self.options.rehearse else "cuBLAS was not found when building")
            return
        text = self.run("yardsticks", [self.options.yardsticks] + sizes, 60)
        if text:
            self.result.update(json.loads(text))
            cublas, own = self.result["cublas_seconds"], self.result["matmul_seconds"]
            self.result["part_of_cublas"] = {n: round(cublas[n] / own[n], 3) for n in own if n in cublas}

    def epoch(self, hidden, points, batch, few, many):
        """Seconds an epoch, from two runs of which the start cancels."""
        times = []
        for epochs in (few, many):
            start = time.perf_counter()
            text = self.run("training", [self.program("project", "run_fast"), "--backend", self.backend, "--dataset", "xor", "--hidden",
                                         str(hidden), "--points", str(points), "--batch", str(batch), "--epochs", str(epochs),
                                         "--every", "1000000"], 60)
            if text is None:
                return None
            times.append(time.perf_counter() - start)
        return (times[1] - times[0]) / (many - few)

    def training(self):
        python = sys.executable
        torch = subprocess.run([python, "-c", "import torch; assert torch.cuda.is_available()"], stderr=subprocess.DEVNULL).returncode
        if torch != 0 or self.options.rehearse:
            self.skip("PyTorch", "a rehearsal" if self.options.rehearse else "it is not installed, or sees no GPU")
        self.result["training"] = []
        for hidden, points, batch in NETWORKS if self.backend == "gpu" else ((8, 20, 10),):
            few, many = (20, 220) if self.backend == "gpu" else (1, 4)
            row = {"hidden": hidden, "points": points, "batch": batch,
                   "epoch_seconds": self.epoch(hidden, points, batch, few, many)}
            if torch == 0 and not self.options.rehearse:
                script = os.path.join(self.options.root, "bench", "gpu_torch.py")
                text = self.run("PyTorch", [python, script, str(hidden), str(points), str(batch), "100"], 60)
                row["torch_epoch_seconds"] = json.loads(text) if text else None
            self.result["training"].append(row)

    def write(self):
        name = re.sub(r"[^a-z0-9]+", "-", self.result["gpu"].get("name", "gpu").lower()).strip("-") or "gpu"
        path = self.options.rehearse or os.path.join(self.options.root, "bench", "results", name + ".json")
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path + ".part", "w", encoding="utf-8") as stream:
            json.dump(self.result, stream, indent=2)
            stream.write("\n")
        os.replace(path + ".part", path)
        print("wrote " + path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--root", "--build"):
        parser.add_argument(name, required=True)
    for name in ("--yardsticks", "--rehearse"):
        parser.add_argument(name)
    parser.add_argument("--spent", type=int, default=0)
    bench = Bench(parser.parse_args())
    start = time.perf_counter()
    for part in (bench.machine, bench.tests, bench.sanitizer, bench.products, bench.training):
        part()
        print("%5.1f s  %s" % (time.perf_counter() - start, part.__name__), flush=True)
    bench.result["seconds"] = round(time.perf_counter() - start, 1)
    bench.write()
    return 1 if bench.failed else 0


sys.exit(main())
