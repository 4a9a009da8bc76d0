"""The stages of bench/gpu.sh: what each runs, and how what is printed becomes lines. gpu_measure.py calls them in the
order of STAGES and gives each its share of the time.

A stage is a function of a Session (gpu_measure.py), which has run() for a step, add() for a line and left() for seconds.
A step that cannot be is a line with "not_here", one that the machine forbids a line with "refused", one that fails a
line with "failed"; each with the reason.
"""
import csv
import json
import os
import re
import shutil
import sys
import threading
import time

import gpu_steps

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PARTS = ("matmul", "elementwise", "reduce", "move")
DATASETS = ("simple", "diag", "split", "xor", "circle", "spiral")
LOSS_TOLERANCE = 1e-3  # relative, after EPOCHS; other orders of summing part the last digits
EPOCHS = 60
HANGS_SECONDS = 20  # a run of run_fast takes one or two, most of which the driver's start may be
PROGRAMS = {"smoke": ["bench/gpu_numbers"], "numbers": ["bench/gpu_numbers"], "training": ["bench/gpu_numbers"],
            "tests": ["bench/gpu_slots", "project/run_fast"], "sanitizer": ["bench/gpu_slots"],
            "ncu": ["bench/gpu_numbers"], "cpu": ["bench/scaling", "bench/matmul_sweep"]}


# ---- build ----

def introspect(s, what):
    """What Meson wrote of the build when it configured it: "targets" or "tests"."""
    try:
        with open(os.path.join(s.build, "meson-info", "intro-%s.json" % what), encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return []


def configure(s):
    if os.path.exists(os.path.join(s.build, "build.ninja")):
        return True
    twin = ["-Dcuda=disabled", "-Dsim=enabled"] if s.rehearsal else ["-Dcuda=enabled", "-Dsim=disabled"]
    return s.run("configure", ["meson", "setup", s.build, ROOT, "-Dbuildtype=release", *twin], s.left()).status == "ok"


def compile_targets(s, what, names, seconds, stage="build", stop=None):
    """ninja for those of names that this build has; the others are told."""
    there = {os.path.relpath(path, os.path.realpath(s.build)) for target in introspect(s, "targets")
             for path in target["filename"]}
    for name in sorted(set(names) - there):
        s.add(stage=stage, what=what, case=name, not_here="this build has no program " + name)
    names = sorted(set(names) & there)
    done = s.run(what, ["ninja", "-C", s.build, "-k", "0", *names], seconds, stop=stop) if names else None
    if done and done.status == "ok":
        s.add(stage=stage, what=what, passed=True, built=len(names), seconds=round(done.seconds, 1))


def build(s):
    """The programs of the stages that were asked for, in float; those of the tests are built by the stage tests."""
    if not configure(s):
        return
    names = [name for stage in s.stages for name in PROGRAMS.get(stage, [])]
    compile_targets(s, "programs", names, s.left())
    for name in sorted(set(names)):
        if not os.path.exists(os.path.join(s.build, name)):
            s.add(what="programs", case=name, failed="it was not built; the stages that need it cannot run")
    if s.options.build_only:
        wanted = [test["program"] for test in suite(s) if ("double" if test["double"] else "tests") in s.stages]
        compile_targets(s, "test programs", wanted + (["bench/gpu_slots_double"] if "double" in s.stages else []), s.left())


# ---- smoke, numbers, training ----

def numbers_program(s, part, seconds):
    program = s.program("bench/gpu_numbers")
    if program:
        s.run(part, [program, "--backend", s.backend, "--part", part, *s.quick], seconds, figures=True)


def smoke(s):
    numbers_program(s, "smoke", s.left())


def torch(s, what, seconds):
    """PyTorch's own operations, for the cases that this run's lines name."""
    lines = [line for line in s.lines.of_run if line["stage"] == s.stage and line.get("by") == "ours"]
    if not lines:
        s.add(what=what, by="torch", not_here="nothing of ours was measured that it could be held to")
        return
    python = os.environ.get("BENCH_PYTHON", sys.executable)
    s.run("PyTorch " + what, [python, os.path.join(HERE, "gpu_torch.py"), *s.quick], seconds, figures=True,
          feed="".join(json.dumps(line) + "\n" for line in lines))


def numbers(s):
    for i, part in enumerate(PARTS):
        numbers_program(s, part, 0.85 * s.left() / (len(PARTS) - i) if i else 0.5 * s.left())
    torch(s, "operations", s.left())


def training(s):
    numbers_program(s, "training", 0.5 * s.left())
    torch(s, "training", s.left())


# ---- tests, double ----

def suite(s):
    """The suite's tests on this backend: name, program, arguments, environment, and whether in double."""
    found = []
    for test in introspect(s, "tests"):
        suites = {suite.split(":")[-1] for suite in test["suite"]}
        program = os.path.relpath(test["cmd"][0], os.path.realpath(s.build))
        ours = ("sim" if s.rehearsal else "gpu") in suites and (not s.rehearsal or test["name"].endswith("_sim_1"))
        if ours and re.match(r"tests/test_\w+$", program):
            found.append({"name": test["name"], "program": program, "arguments": test["cmd"][1:], "env": test["env"],
                          "double": "double" in suites})
    return sorted(found, key=lambda test: "matmul" in test["name"])  # which takes longest


LONG = ("gradients_sim_1", "matmul_sim_1")


def run_test(s, test, seconds):
    case = "%s, %s" % (test["name"], "double" if test["double"] else "float")
    path = s.program(test["program"], what="suite", case=case)
    if not path:
        return
    environment = dict(test["env"], **({"MT_TEST_SMALL": "1"} if s.rehearsal else {}))
    done = s.run("suite " + case, [path, *test["arguments"]], seconds, environment=environment, good=(0, 77))
    if done.status == "ok":
        if "[exit 77" in done.text[-60:]:
            s.add(what="suite", case=case, not_here=(done.text.split("\n") + ["", ""])[1] or "it was skipped")
        else:
            s.add(what="suite", case=case, by="ours", passed=True, seconds=round(done.seconds, 2))


def train(s, dataset, backend, seconds):
    """The losses of a run of run_fast, or None."""
    program = s.program("project/run_fast")
    if not program:
        return None
    epochs = 10 if s.rehearsal else EPOCHS
    losses = []

    def take(line):
        try:
            losses.append(float(json.loads(line)["loss"]))
        except (ValueError, KeyError, TypeError):
            pass
    command = [program, "--dataset", dataset, "--backend", backend, "--epochs", str(epochs), "--every", str(epochs // 5),
               "--log", "json", "--quiet"]
    done = s.run("run_fast %s %s" % (dataset, backend), command, seconds, on_line=take)
    return losses if done.status == "ok" else None


def data_sets(s, seconds):
    end = time.monotonic() + seconds
    for dataset in DATASETS:
        want, got = (train(s, dataset, backend, min(HANGS_SECONDS, end - time.monotonic())) for backend in ("cpu", s.backend))
        if want is None or got is None:
            continue
        if not want or len(want) != len(got):
            s.add(what="run_fast", case=dataset, failed="%d losses on cpu, %d on %s" % (len(want), len(got), s.backend))
            continue
        # Both fall towards 0, where a difference of rounding is large beside what is left: the first loss measures it.
        error = max(abs(a - b) / max(abs(a), 0.01 * abs(want[0])) for a, b in zip(want, got))
        fields = {"what": "run_fast", "case": dataset, "by": "ours", "error": error, "tolerance": LOSS_TOLERANCE}
        if error <= LOSS_TOLERANCE:
            s.add(passed=True, **fields)
        else:
            s.add(wrong=True, failed="the losses part from cpu's", **fields)


SLOT = re.compile(r"(ok|FAIL) +gpu_slots:? (\w+)(?:: (.*))?")


def slots(s, name, seconds):
    """Every slot of the backend beside simple: a line for each, as it is printed."""
    program, precision = s.program(name), "double" if name.endswith("double") else "float"

    def take(line):
        found = SLOT.match(line)
        if found:
            word, slot, sentence = found.groups()
            s.add(what="slot", case="%s, %s" % (slot, precision), by="ours",
                  **({"passed": True} if word == "ok" else {"failed": sentence or line.strip()}))
    more = [] if s.rehearsal else ["--large"] + (["--far"] if precision == "float" else [])
    if program:
        s.run("slots in " + precision, [program, "--backend", s.backend, *more], seconds, on_line=take)


class Compiling:
    """ninja in the background, for the tests of one precision and what else is named."""

    def __init__(self, s, stage, found, more, seconds):
        self.tests, self.stop = found, threading.Event()
        self.thread = threading.Thread(target=compile_targets, daemon=True, args=(
            s, "test programs", [test["program"] for test in found] + more, seconds, stage, self.stop))
        self.thread.start()

    def wait(self, s):
        self.thread.join(0.7 * s.left())
        self.stop.set()
        self.thread.join(10)

    def run_tests(self, s):
        self.wait(s)
        for test in self.tests:
            run_test(s, test, s.left() if test is self.tests[-1] else s.left() / 2)


def start_double(s):
    """The double library is compiled while the card works on what comes before the stage."""
    found = [] if s.rehearsal else [test for test in suite(s) if test["double"]]
    if "double" in s.stages and s.compiling is None and found:
        s.compiling = Compiling(s, "double", found, ["bench/gpu_slots_double"], s.left_of_all())


def tests(s):
    found = [test for test in suite(s) if not test["double"]]
    if not found:
        s.add(what="suite", not_here="this build has no tests of backend %s" % s.backend)
    if s.rehearsal and found:
        s.add(what="suite", case=", ".join(LONG), not_here="a rehearsal leaves out those that take long")
        found = [test for test in found if test["name"] not in LONG]
    compiling = Compiling(s, "tests", found, [], s.left())
    slots(s, "bench/gpu_slots", 0.4 * s.left())
    data_sets(s, 0.4 * s.left())
    compiling.run_tests(s)
    start_double(s)


def double(s):
    start_double(s)
    if s.compiling:
        s.compiling.wait(s)
        slots(s, "bench/gpu_slots_double", 0.5 * s.left())
        s.compiling.run_tests(s)
    else:
        s.add(what="suite", case="double", not_here="a rehearsal takes the tests in float alone" if s.rehearsal else
              "this build has no tests of backend %s in double" % s.backend)


# ---- sanitizer ----

REFUSALS = re.compile("ERR_NVGPUCTRPERM|permission|not supported|not permitted|insufficient|LibraryNotLoaded|"
                      "failed to initialize|debugger", re.I)


def refusal(text):
    """The sentence with which a tool says that this machine does not let it work, or None."""
    for line in text.splitlines()[1:]:
        if line.startswith("==") and REFUSALS.search(line):
            return line.replace("==ERROR==", "").strip("= ")
    return None


def tool(s, name, why_not):
    """The path of one of NVIDIA's tools, or None after a line; why_not is the reason in a rehearsal."""
    path = None if s.rehearsal else shutil.which(name)
    if not path:
        s.add(what=name, by=name, not_here="a rehearsal: " + why_not if s.rehearsal else name + " is not on the PATH")
    return path


def sanitizer(s):
    program, path = s.program("bench/gpu_slots"), tool(s, "compute-sanitizer", "gpu-sim checks every access itself")
    if not program or not path:
        return
    checks = ("memcheck", "racecheck", "synccheck", "initcheck")  # what is wanted most first; half of the time is memcheck's
    for i, check in enumerate(checks):
        done = s.run(check, [path, "--tool", check, "--error-exitcode", "9", program, "--backend", s.backend, "--large"],
                     s.left() / (len(checks) - i if i else 2), failing=False)
        found = re.search(r"SUMMARY: (\d+) (?:error|hazard)", done.text)
        fields = {"what": check, "case": "gpu_slots --large", "by": "compute-sanitizer", "seconds": round(done.seconds, 1)}
        sentence = refusal(done.text)
        if done.status == "ok" and found and int(found.group(1)) == 0:
            s.add(faults=0, passed=True, **fields)
        elif sentence and not found:
            s.add(refused=sentence, log=s.keep_log(check, done), **fields)
        elif found and int(found.group(1)) > 0:
            count = int(found.group(1))
            s.add(faults=count, failed="it names %d faults" % count, log=s.keep_log(check, done), **fields)
        else:
            s.fail(check, done, **fields)


# ---- ncu ----

METRICS = {"gpu__time_duration.sum": "ns", "sm__warps_active.avg.pct_of_peak_sustained_active": "occupancy_percent",
           "smsp__issue_active.avg.pct_of_peak_sustained_active": "issue_percent",
           "dram__throughput.avg.pct_of_peak_sustained_elapsed": "memory_percent",
           "dram__bytes_read.sum": "bytes_read", "dram__bytes_write.sum": "bytes_written",
           "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum": "conflicts_read",
           "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_st.sum": "conflicts_written",
           "launch__registers_per_thread": "registers", "launch__grid_size": "blocks", "launch__block_size": "threads"}


def profiled(text):
    """The launches in ncu's CSV, in their order: each a kernel and its metrics under our names."""
    launches = {}
    for row in csv.DictReader([line for line in text.splitlines() if line.startswith('"')]):
        name, value = METRICS.get(row.get("Metric Name")), (row.get("Metric Value") or "").replace(",", "")
        if name and re.match(r"^-?[\d.]+([eE][-+]?\d+)?$", value):
            launches.setdefault(int(row["ID"]), {"kernel": row.get("Kernel Name", "")})[name] = float(value)
    return [launches[number] for number in sorted(launches)]


def ncu(s):
    """gpu_numbers runs five kernels once for a profiler, and tells it when to look."""
    program, path = s.program("bench/gpu_numbers"), tool(s, "ncu", "it counts on a card alone")
    if s.rehearsal:
        numbers_program(s, "ncu", s.left())
    if not program or not path:
        return
    done = s.run("kernels", [path, "--csv", "--print-units", "base", "--clock-control", "none", "--profile-from-start", "off",
                             "--metrics", ",".join(METRICS), program, "--backend", s.backend, "--part", "ncu"],
                 s.left(), failing=False)
    launches, sentence = profiled(done.text), refusal(done.text)
    for launch in launches:
        name = re.sub(r"^void |\(.*\)$", "", launch["kernel"])
        s.add(what=name.split("<")[0].split("::")[-1], case="%s, %.0f blocks" % (name, launch.get("blocks", 0)), by="ncu",
              us=launch.get("ns", 0) / 1000, **launch)
    if sentence and not launches:
        s.add(what="kernels", by="ncu", refused=sentence, log=s.keep_log("kernels", done))
    elif not launches or done.status != "ok":
        s.fail("kernels", done, by="ncu")


# ---- cpu ----

ROW = re.compile(r"(.{16}) (.{12}) +(\d+) +([\d.]+) (s|ms|us|ns) +\(([\d.]+) (s|ms|us|ns) to ([\d.]+) (s|ms|us|ns)\)")
UNITS = {"s": 1e6, "ms": 1e3, "us": 1, "ns": 1e-3}


def scaling(s, cores):
    """A row of bench/scaling is a line as it is printed."""
    def take(line):
        row = ROW.match(line)
        if row:
            work, shape, threads, *times = row.groups()
            us, low, high = (float(value) * UNITS[unit] for value, unit in zip(times[::2], times[1::2]))
            s.add(what="scaling", case="%s %s" % (work.strip(), shape.strip()), by="cpu", threads=int(threads), us=us,
                  low_us=low, high_us=high)
    program = s.program("bench/scaling")
    if program:
        s.run("scaling", [program, "--threads", str(cores), *s.quick], s.left(), on_line=take)


def sweep(s, program, threads, seconds):
    """matmul_sweep with so many threads; its figures come at its end, in a file."""
    path = os.path.join(s.build, "gpu-sweep-%s.csv" % s.run_id)
    sizes = ["--sizes", "64,128", "--trials", "2"] if s.rehearsal else ["--sizes", "256,1024,2048"]
    done = s.run("sweep on %d threads" % threads, [program, "--backend", "cpu", "--threads", str(threads), "--batch", "1",
                                                   "--csv", path, *sizes], seconds)
    if done.status == "ok":
        with open(path, encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                us, low, high = (1e6 * float(row[key]) for key in ("seconds", "low", "high"))
                s.add(what="sweep", case="%s x %s" % (row["size"], row["size"]), by="cpu", threads=threads, us=us, low_us=low,
                      high_us=high, flops=1e3 * us * float(row["gflops"]))
    if os.path.exists(path):
        os.unlink(path)


def cpu(s):
    """The cpu backend on 1 to as many threads as there are processors."""
    cores = len(os.sched_getaffinity(0))
    counts = [count for count in (1, 2, 4, 8, 16, 32, 64) if count < cores] + [cores]
    program = s.program("bench/matmul_sweep")
    for i, threads in enumerate(counts if program else []):
        sweep(s, program, threads, 0.4 * s.left() / (len(counts) - i))
    scaling(s, cores)


# In this order: what is wanted most comes first. The number is a weight: a stage may take its share of the time that is left,
# by its weight among the stages still to come. Most of it is the build's, without which there is nothing.
STAGES = (("build", 600, build), ("smoke", 15, smoke), ("numbers", 120, numbers), ("training", 40, training),
          ("tests", 40, tests), ("ncu", 20, ncu), ("sanitizer", 40, sanitizer), ("double", 20, double), ("cpu", 45, cpu))
