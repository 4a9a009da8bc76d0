#!/usr/bin/env python3
"""bench/gpu.sh where no GPU is: what it refuses, what it keeps when something goes wrong, and a rehearsal.

    test_bench_gpu.py SOURCE-ROOT BUILD-ROOT [nvcc]

1. Without a tool, without nvcc and without a driver it says which is missing. 2. With stand_in_gpu.py in the place of the
programs, the card and NVIDIA's tools: a step that fails, one that hangs with a child, a card that is gone, a refused tool, a
full disk, a run that is stopped; the lines of the others are there, and those of an earlier run. 3. A build without cmocka
and without a network has every program of every stage. 4. A rehearsal on gpu-sim in the build that is there; with "nvcc" --build-only, too.
5. The tests that it runs compile without cmocka.
"""
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
STAGES = ("build", "smoke", "numbers", "training", "tests", "ncu", "sanitizer", "double", "cpu")
failures = 0


def check(condition, text):
    global failures
    if not condition:
        failures += 1
        print("FAIL  " + text, flush=True)
    return bool(condition)


def run(command, environment=None, limit_bytes=None):
    def limits():
        if limit_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=500, env=environment,
                          preexec_fn=limits)
    return done.returncode, done.stdout, done.stderr


def folder_of(work, name, tools):
    """A PATH with these tools alone: None is this machine's own, else the text of a shell script."""
    folder = os.path.join(work, name)
    os.mkdir(folder)
    for tool, text in tools.items():
        path = os.path.join(folder, tool)
        if text is None:
            os.symlink(sys.executable if tool == "python3" else shutil.which(tool), path)
        else:
            with open(path, "w", encoding="utf-8") as stream:
                stream.write("#!/bin/sh\n" + text)
            os.chmod(path, 0o755)
    return dict(os.environ, PATH=folder, CUDA_HOME=folder, CC="cc", CXX="c++")


def refusals(script, work):
    usual = {"dirname": None, "sh": None, "python3": None, "meson": "", "ninja": "", "cc": "", "c++": ""}
    without = {k: v for k, v in usual.items() if k != "ninja"}
    cases = [("no-python", {k: v for k, v in usual.items() if k != "python3"}, "python3 is not on the PATH"),
             ("no-driver", dict(usual, nvcc=""), "there is no NVIDIA driver here"),
             ("no-ninja", without, "ninja is not on the PATH"),
             ("no-gpu", dict(usual, nvcc="", **{"nvidia-smi": "exit 9\n"}), "nvidia-smi finds no GPU")]
    if not any(os.path.exists(path) for path in ("/usr/local/cuda/bin/nvcc", "/opt/cuda/bin/nvcc")):
        cases.append(("no-nvcc", usual, "nvcc was not found"))
    if os.path.exists("/dev/nvidia0"):
        cases = [case for case in cases if case[0] not in ("no-driver", "no-gpu")]
    for name, tools, sentence in cases:
        status, out, err = run([script], folder_of(work, name, tools))
        check(status == 1, "%s: ends with %d, not 1\n%s%s" % (name, status, out, err))
        check(sentence in err and err.count("\n") == 1, "%s: says %r, not one sentence with %r" % (name, err, sentence))
    for arguments, word in ((["--fast"], "--build-only"), (["--only", "speed"], "sanitizer"), (["--seconds", "1"], "10 or more")):
        status, out, err = run([script, *arguments])
        check(status == 2 and word in err, "%s: %d, %r" % (arguments, status, err))


# ---- with a stand-in ----

def stand_in(work, name, card="NVIDIA H100 80GB HBM3"):
    """A build directory and an environment in which every program is tests/stand_in_gpu.py."""
    build, tools = os.path.join(work, name, "build"), os.path.join(work, name, "tools")
    programs = ["bench/gpu_numbers", "bench/gpu_slots", "bench/gpu_slots_double", "bench/scaling", "bench/matmul_sweep",
                "project/run_fast", "tests/test_a_float", "tests/test_b_double"]
    os.makedirs(tools)
    for path in [os.path.join(build, program) for program in programs] + [os.path.join(tools, tool) for tool in (
            "meson", "ninja", "nvcc", "nvidia-smi", "ncu", "compute-sanitizer", "git")]:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write('#!/bin/sh\nexec "%s" "%s" "%s" "$@"\n' % (sys.executable, os.path.join(HERE, "stand_in_gpu.py"), path))
        os.chmod(path, 0o755)
    targets, tests = [{"filename": [os.path.join(build, program)]} for program in programs], []
    for letter, precision in (("a", "float"), ("b", "double")):
        command = [os.path.join(build, "tests", "test_%s_%s" % (letter, precision))]
        for name, suite in ((letter, "gpu"), (letter + "_sim_1", "sim")):
            tests.append({"name": name, "cmd": command, "env": {}, "suite": ["x:" + precision, "x:" + suite]})
    os.mkdir(os.path.join(build, "meson-info"))
    for name, content in (("build.ninja", ""), ("meson-info/intro-targets.json", targets), ("meson-info/intro-tests.json", tests)):
        with open(os.path.join(build, name), "w", encoding="utf-8") as stream:
            json.dump(content, stream)
    environment = dict(os.environ, PATH=tools + ":" + os.environ["PATH"], STAND_IN_CARD=card, STAND_IN_BUILD=build,
                       BENCH_PYTHON="false", MT_COMMIT="0123abc")
    environment.pop("CUDA_HOME", None)
    return build, environment


def lines_of(path):
    with open(path, encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def having(lines, **fields):
    return [line for line in lines if all(line.get(key) == value for key, value in fields.items())]


def every_stage(lines, name, without=()):
    for stage in STAGES:
        figures = [line for line in having(lines, stage=stage) if line["what"] not in ("stage", "clocks")]
        check(figures or stage == "build" or stage in without, "%s: no line of stage %s" % (name, stage))
        check(having(lines, stage=stage, what="stage"), "%s: stage %s did not come to its end" % (name, stage))


def measure(script, build, out, environment, *options, **more):
    return run([script, "--build", build, "--out", out, *options], environment, **more)


def all_well(script, work):
    """Two runs on two cards into one folder: files of their own, facts in each line, tools that refuse."""
    out = os.path.join(work, "well", "out")
    build, environment = stand_in(work, "well")
    status, text, err = measure(script, build, out, environment)
    path = os.path.join(out, "nvidia-h100-80gb-hbm3.jsonl")
    if not check(os.path.exists(path), "no file for the card: %d\n%s%s" % (status, text[-2000:], err[-2000:])):
        return
    lines = lines_of(path)
    every_stage(lines, "on a card")
    check(status == 1, "one sanitizer names faults, and the status is %d" % status)
    for key, value in (("card", "NVIDIA H100 80GB HBM3"), ("driver", "580.1"), ("power_limit_w", "700.00"), ("toolkit", "13.0.88"),
                       ("commit", "0123abc")):
        check(len(having(lines, **{key: value})) == len(lines), "%s is not %s in every line" % (key, value))
    ours = having(lines, stage="numbers", by="ours")
    check(ours and ours[-1].get("sm_mhz") == 1755 and all(line["low_us"] < line["us"] < line["high_us"] for line in ours),
          "numbers without a clock or a spread: %s" % ours[-1:])
    check(having(lines, stage="numbers", by="torch", what="operations") or having(lines, what="PyTorch operations"),
          "nothing is said of PyTorch")
    found = {line["what"]: line for line in having(lines, stage="sanitizer", by="compute-sanitizer")}
    check(list(found) == ["memcheck", "racecheck", "synccheck", "initcheck"], "the sanitizer's checks: %s" % list(found))
    check(found["memcheck"].get("faults") == 0 and found["racecheck"].get("faults") == 2 and
          "Device not supported" in found["initcheck"].get("refused", ""), "the sanitizer's lines: %s" % found)
    counters = having(lines, stage="ncu", by="ncu")
    check([line for line in counters if line.get("occupancy_percent") == 61.5 and line.get("us") == 1234.5],
          "ncu's figures: %s" % counters[:1])
    check(having(lines, stage="double", what="suite", case="b, double", passed=True), "no test in double")
    check(having(lines, stage="tests", what="run_fast", case="spiral", passed=True), "no data set")
    for precision, stage in (("float", "tests"), ("double", "double")):
        check(having(lines, stage=stage, what="slot", case="matmul, " + precision, passed=True) and
              having(lines, stage=stage, what="slot", case="copy, " + precision, failed="element 3 is 1 and not 2"),
              "slots in " + precision)
        asked = [word for word in ("large", "far") if having(lines, stage=stage, what="slot", case="%s, %s" % (word, precision))]
        check(asked == ["large", "far"][:2 if precision == "float" else 1], "slots in %s are asked for %s" % (precision, asked))
    check(having(lines, stage="cpu", what="sweep", threads=1, us=20.0) and having(lines, stage="cpu", what="scaling"),
          "no figures of the processor")
    with open(path[:-5] + "md", encoding="utf-8") as stream:
        page = stream.read()
    for word in ("# NVIDIA H100 80GB HBM3", "0123abc", "nn 64x64x64", "(0.80)", "matmul nn 64x64x64 | cuBLAS | 0.80", "racecheck",
                 "What is missing, and why", "Device not supported", "product_tiles", "1755 to 1755",
                 "| nn 64x64x64 | 10 | 20 % of 20 |", "| exp 1000 | 10 loop |", "| 8 loop (0.80) |", "| it waits in between | 2 |"):
        check(word in page, "the page lacks %r" % word)
    with open(path, "rb") as stream:
        before = stream.read()
    measure(script, build, out, environment, "--only", "smoke,numbers", "--seconds", "30")
    measure(script, build, out, dict(environment, STAND_IN_CARD="NVIDIA H200"), "--only", "smoke,ncu")
    with open(path, "rb") as stream:
        after = stream.read()
    check(after.startswith(before) and len({line["run"] for line in lines_of(path)}) == 2, "a second run did not add to the first")
    with tarfile.open(path[:-6] + "-logs.tar.gz") as archive:
        runs = {name.split("/")[0] for name in archive.getnames()}
    check(len(runs) == 2, "the logs are of the runs %s" % runs)
    other = lines_of(os.path.join(out, "nvidia-h200.jsonl"))
    check(len(having(other, card="NVIDIA H200")) == len(other) > 4, "no file of its own for another card")
    check([line for line in other if "ERR_NVGPUCTRPERM" in line.get("refused", "")],
          "ncu's refusal: %s" % having(other, stage="ncu"))
    check(len(os.listdir(out)) <= 8, "more than eight files: %s" % os.listdir(out))


def slow_start(script, work):
    """A run of run_fast may need more than a twelfth of the share to start; the limit is for one that hangs."""
    out = os.path.join(work, "slow", "out")
    build, environment = stand_in(work, "slow")
    measure(script, build, out, dict(environment, STAND_IN_START="2"), "--only", "tests", "--seconds", "30")
    lines = lines_of(os.path.join(out, "nvidia-h100-80gb-hbm3.jsonl"))
    check(len(having(lines, stage="tests", what="run_fast", passed=True)) == 6, "data sets after a slow start: %s" %
          [(line["what"], line.get("failed") or line.get("not_here")) for line in having(lines, stage="tests")])


def child_is_gone(build):
    """Whether the process that the stand-in left its number of has ended, at most five seconds from now."""
    with open(os.path.join(build, "child"), encoding="utf-8") as stream:
        status = "/proc/%s/stat" % stream.read().strip()
    for _ in range(50):
        try:
            with open(status, encoding="utf-8") as stream:
                if stream.read().split(")")[-1].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def one_fails_one_hangs(script, work):
    out = os.path.join(work, "bad", "out")
    build, environment = stand_in(work, "bad")
    environment.update(STAND_IN_FAIL="elementwise", STAND_IN_HANG="reduce", STAND_IN_GONE_AFTER="elementwise")
    began = time.monotonic()
    status, text, err = measure(script, build, out, environment, "--rehearse", "--seconds", "30")
    spent = time.monotonic() - began
    lines = lines_of(os.path.join(out, "gpu-sim.jsonl"))
    every_stage(lines, "one fails, one hangs")
    check(status == 1 and spent < 60, "ends with %d after %.0f s\n%s" % (status, spent, err[-1000:]))
    failed = having(lines, stage="numbers", what="elementwise")
    check([line for line in failed if "exit 3" in line.get("failed", "") and "illegal address" in line["failed"]],
          "failed: %s" % failed)
    check(having(lines, stage="numbers", what="map", by="ours"), "what the failing step had measured is lost")
    late = [line for line in having(lines, stage="numbers", what="reduce") if "had to be ended" in line.get("failed", "")]
    check(late, "hung: %s" % having(lines, what="reduce"))
    check(having(lines, stage="numbers", what="copy", by="ours"), "nothing of the part after the one that hung")
    check(having(lines, stage="numbers", what="card", case="after elementwise"), "nobody says that the card is gone")
    check(child_is_gone(build), "the child of the step that hung still runs")
    with tarfile.open(os.path.join(out, "gpu-sim-logs.tar.gz")) as archive:
        logs = {name: archive.extractfile(name).read().decode() for name in archive.getnames()}
    whole = [text for text in logs.values() if "line 1 of 20000" in text and "line 20000 of 20000" in text]
    check(whole and all(line["log"] in logs for line in failed + late), "the logs: %s" % sorted(logs))
    with open(os.path.join(build, "meson-info", "intro-tests.json"), "w", encoding="utf-8") as stream:
        stream.write("[{}]")
    measure(script, build, out, environment, "--rehearse", "--only", "tests,cpu")
    after = lines_of(os.path.join(out, "gpu-sim.jsonl"))[len(lines):]
    check(having(after, stage="tests", what="tests", failed="KeyError: 'suite'") and having(after, stage="cpu", what="scaling"),
          "a stage with a fault of its own: %s" % [line.get("failed") for line in after])


def no_answer(script, work):
    """A tool that does not answer, and whose child keeps its output open, is given up."""
    sys.path.insert(0, os.path.dirname(script))
    sys.dont_write_bytecode = True
    import gpu_measure
    gpu_measure.ANSWER_SECONDS, began = 1, time.monotonic()
    text = gpu_measure.output("sh", "-c", "trap '' TERM; echo a card; sleep 30")
    check(text == "" and time.monotonic() - began < 15, "no answer: %r after %.0f s" % (text, time.monotonic() - began))
    check(gpu_measure.output("sh", "-c", "echo one; echo two >&2; exit 3") == "one", "an answer with exit 3")
    check(gpu_measure.output("/nowhere/tool") == "", "a tool that is not there")


def stopped(script, work):
    """Ended from outside while a step hangs: what was measured is there, the page too, and no process is left."""
    out = os.path.join(work, "stop", "out")
    build, environment = stand_in(work, "stop")
    with subprocess.Popen([script, "--build", build, "--out", out, "--rehearse"], env=dict(environment, STAND_IN_HANG="reduce"),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        until = time.monotonic() + 60
        while not os.path.exists(os.path.join(build, "child")) and time.monotonic() < until:
            time.sleep(0.1)
        process.terminate()
        process.communicate()
    lines = lines_of(os.path.join(out, "gpu-sim.jsonl"))
    check(process.returncode == 1 and having(lines, failed="the run was stopped from outside"), "stopped: %s" % process.returncode)
    check(having(lines, stage="numbers", what="map", by="ours") and os.path.exists(os.path.join(out, "gpu-sim.md")),
          "stopped: a line is lost")
    check(child_is_gone(build), "stopped: the child still runs")


def full_disk(script, work):
    """A file that takes nothing, and then a limit at which it, the second file and the archive are full."""
    build, environment = stand_in(work, "full")
    out = os.path.join(work, "full", "out")
    os.mkdir(out)
    os.symlink("/dev/full", os.path.join(out, "gpu-sim.jsonl"))
    status, _, err = measure(script, build, out, environment, "--rehearse", "--seconds", "60")
    saved = [name for name in os.listdir(build) if name.startswith("gpu-sim-") and name.endswith(".jsonl")]
    check(status == 1 and "cannot be written" in err and len(saved) == 1, "a full disk: %d, %s, %s" % (status, saved, err[-500:]))
    every_stage(lines_of(os.path.join(build, saved[0])) if saved else [], "a full disk")
    with open(os.path.join(out, "gpu-sim.md"), encoding="utf-8") as stream:
        check("nn 64x64x64" in stream.read(), "a full disk: the page lacks a figure")

    build, environment = stand_in(work, "limit")
    out = os.path.join(work, "limit", "out")
    status, text, err = measure(script, build, out, environment, "--rehearse", "--seconds", "60", limit_bytes=5000)
    lines = lines_of(os.path.join(out, "gpu-sim.jsonl"))
    kept = len(lines)
    for name in os.listdir(build):
        lines += lines_of(os.path.join(build, name)) if name.endswith(".jsonl") else []
    printed = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    check(status == 1 and 0 < kept < len(lines) and printed, "a limit: %d, %d of %d lines, %d printed\n%s" % (
        status, kept, len(lines), len(printed), err[-500:]))
    every_stage(lines + printed, "a limit")
    check(not any(name.endswith(".part") for name in os.listdir(out)), "left behind: %s" % os.listdir(out))


# ---- with what is built ----

def bare_build(root, work):
    """Nothing that pkg-config or CMake would find, cmocka least of all, and no network where the machine allows to take it away."""
    build, blind = os.path.join(work, "bare"), os.path.join(work, "blind")
    folder_of(work, "blind", {tool: "exit 1\n" for tool in ("pkg-config", "pkgconf", "cmake")})
    alone = ["unshare", "-rn"] if shutil.which("unshare") and run(["unshare", "-rn", "true"])[0] == 0 else []
    environment = dict(os.environ, PATH=blind + ":" + os.environ["PATH"])
    status, text, err = run([*alone, "meson", "setup", build, root, "-Dcuda=disabled", "-Dsim=enabled"], environment)
    if not check(status == 0 and "not found: cmocka" in text, "setup without cmocka: %s%s" % (text[-2000:], err[-2000:])):
        return
    sys.path.insert(0, os.path.join(root, "bench"))
    sys.dont_write_bytecode = True
    import gpu_stages

    class Asked:
        rehearsal = True
    Asked.build = build
    targets = {os.path.relpath(path, os.path.realpath(build)) for target in gpu_stages.introspect(Asked, "targets")
               for path in target["filename"]}
    for stage, names in gpu_stages.PROGRAMS.items():
        check(targets.issuperset(names), "without cmocka: no program for %s in %s" % (stage, sorted(names)))
    tests = gpu_stages.suite(Asked)
    check(len(tests) >= 14 and targets.issuperset(test["program"] for test in tests), "without cmocka: the suite is %s" % tests)


def rehearsal(script, build, work):
    out = os.path.join(work, "rehearsal")
    status, text, err = run([script, "--build", build, "--rehearse", "--out", out])
    check(status == 0, "the rehearsal ends with %d\n%s%s" % (status, text[-3000:], err[-2000:]))
    lines = lines_of(os.path.join(out, "gpu-sim.jsonl"))
    every_stage(lines, "the rehearsal")
    check(len(having(lines, rehearsal=True, card="gpu-sim")) == len(lines), "a rehearsal must say that it is one")
    for by in ("cublas", "ncu", "compute-sanitizer"):
        check([line for line in having(lines, by=by) if line.get("not_here")], "nothing says that %s is not here" % by)
    check([line for line in lines if line.get("by", "").startswith("torch")], "nothing is said of PyTorch")
    ours = having(lines, by="ours")
    whats = {line["what"] for line in ours}
    check(whats >= {"matmul", "map", "step", "slot", "run_fast", "suite"}, "ours: %s" % whats)
    print("rehearsal: %d lines, %s" % (len(lines), ", ".join("%s %.0f s" % (line["stage"], line["seconds"])
                                                             for line in having(lines, what="stage"))))


def without_cmocka(source):
    tests = os.path.join(source, "tests")
    with open(os.path.join(tests, "meson.build"), encoding="utf-8") as stream:
        lists = re.findall(r"^(?:slot|backend)_tests = [^\[]*\[(.*?)\]", stream.read(), re.M | re.S)
        names = re.findall(r"'(\w+)'", " ".join(lists))
    check(len(names) > 5, "the list of tests was not found: %s" % names)
    files = [os.path.join(tests, "test_%s.c" % name) for name in names] + [os.path.join(tests, "support.c")]
    status, _, err = run([*os.environ.get("CC", "cc").split(), "-std=c17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                          "-I" + source, "-I" + os.path.join(tests, "alone"), *files])
    check(status == 0, "without cmocka:\n%s" % err[-2000:])


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    source, build = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    script, nvcc = os.path.join(source, "bench", "gpu.sh"), "nvcc" in sys.argv[3:]
    with tempfile.TemporaryDirectory(dir=build, prefix="bench-gpu-") as work:
        parts = [(part, (script, work)) for part in (refusals, all_well, slow_start, one_fails_one_hangs, no_answer, stopped, full_disk)]
        parts += [(bare_build, (source, work)), (rehearsal, (script, build, work)), (without_cmocka, (source,))]
        for part, arguments in parts:
            began = time.monotonic()
            part(*arguments)
            print("%5.1f s  %s" % (time.monotonic() - began, part.__name__), flush=True)
        if nvcc:
            status, out, err = run([script, "--build", build, "--out", os.path.join(work, "build-only"), "--build-only"])
            check(status == 0 and "built in" in out, "--build-only: %d\n%s%s" % (status, out[-2000:], err[-2000:]))
    print("%d failures" % failures)
    return 1 if failures else 0


sys.exit(main())
