#!/usr/bin/env python3
"""bench/gpu.sh measures the gpu backend in stages, and keeps each figure the moment it is there.

OUT/NAME-OF-CARD.jsonl gets a line of JSON for each figure and for each thing that could not be had, with the reason;
OUT/NAME-OF-CARD.md is a page made from the lines after each stage, OUT/NAME-OF-CARD-logs.tar.gz holds the whole logs of
steps that failed. Nothing of an earlier run is overwritten. A stage that fails or hangs does not stop the next; exit 1
tells that one did.

The stages, in this order: build (always done, for the stages that are asked for), smoke, numbers, training, tests, ncu,
sanitizer, double (the tests in double), cpu. MT_COMMIT names the commit where git cannot, BENCH_PYTHON the python that has
PyTorch.
"""
import argparse
import datetime
import os
import re
import shutil
import signal
import sys
import time
import traceback

import gpu_lines
import gpu_page
import gpu_stages
import gpu_steps

ROOT = gpu_stages.ROOT
NAMES = [name for name, _, _ in gpu_stages.STAGES]
WITHOUT_CARD = ("build", "cpu")
PAGE_SECONDS = 4  # left for the page and the archive at the end
ANSWER_SECONDS = 20  # for a tool that is asked about this machine
PROBE_SECONDS = 10  # for a product that shows whether the card still works
MOST_LINES = 5000  # of one step
TELLING = re.compile(r"\berror\b|\bfatal\b|^FAILED", re.I)  # the line of a log that says most
FACTS = ("name", "driver_version", "power.limit", "compute_cap", "memory.total", "clocks.max.sm", "clocks.max.mem")


def refuse(sentence):
    print("bench/gpu.sh: " + sentence, file=sys.stderr)
    sys.exit(1)


class Session:
    """One run: what the stages call."""

    def __init__(self, options, card):
        self.options, self.card, self.stages, self.build = options, card, options.only, options.build
        self.rehearsal, self.backend = options.rehearse, "gpu-sim" if options.rehearse else "gpu"
        self.quick = ["--quick"] if options.rehearse else []
        self.stage, self.clocks, self.compiling, self.failures = "start", None, None, 0
        self.end = self.stage_end = 0  # by time.monotonic
        self.run_id = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d-%H%M%S")
        stem = re.sub(r"[^a-z0-9]+", "-", card["card"].lower()).strip("-") or "gpu"
        self.path = os.path.join(options.out, stem)
        rescue = os.path.join(self.build, "%s-%s.jsonl" % (stem, self.run_id))
        self.lines = gpu_lines.Lines(self.path + ".jsonl", rescue, self.context)
        self.logs = gpu_lines.Logs(self.path + "-logs.tar.gz", self.run_id)

    def context(self):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"run": self.run_id, "time": now, **(self.clocks.take() if self.clocks else {}), **self.card}

    def left(self):
        """Seconds that the stage still has."""
        return max(0.0, self.stage_end - time.monotonic())

    def left_of_all(self):
        return max(0.0, self.end - time.monotonic())

    def add(self, **fields):
        """A line, and a word about it on standard output."""
        if fields.get("failed") or fields.get("wrong"):
            self.failures += 1
        if fields.get("stage") not in NAMES:
            fields["stage"] = self.stage
        self.lines.add(fields)
        if fields["what"] != "clocks":
            what = " ".join(str(fields[name]) for name in ("what", "case", "by") if fields.get(name))
            print("  %s: %s" % (what, gpu_page.in_words(fields)), flush=True)

    def program(self, name, what=None, case=None):
        """The path of a program of the build, or None after a line that it is not there."""
        path = os.path.join(self.build, name)
        if os.path.exists(path):
            return path
        fields = {"stage": self.stage, "what": what or os.path.basename(name), "case": case or "",
                  "not_here": name + " was not built"}
        if not any(fields.items() <= line.items() for line in self.lines.of_run):  # once a stage
            self.add(**fields)
        return None

    def keep_log(self, step, done):
        return self.logs.add("%s-%s" % (self.stage, step), done.text)

    def fail(self, step, done, **fields):
        """A line for a step that went wrong, and its log; then whether the card still answers."""
        told = [line.strip() for line in done.text.splitlines()[1:] if line.strip() and not line.startswith(("[", "{"))]
        told = [line for line in told if TELLING.search(line)][:1] or told[-1:]
        sentence = done.sentence + (": " + told[0][-300:] if told and done.status == "failed" else "")
        self.add(**dict({"what": step, "failed": sentence, "log": self.keep_log(step, done)}, **fields))
        probe, limit = os.path.join(self.build, "bench/gpu_numbers"), min(PROBE_SECONDS, self.left_of_all())
        if self.stage not in WITHOUT_CARD and done.status != "absent" and os.path.exists(probe) and limit > PROBE_SECONDS / 2:
            answer = gpu_steps.run([probe, "--backend", self.backend, "--part", "smoke", "--quick"], limit)
            if answer.status != "ok":
                self.add(what="card", case="after " + step, failed="a short product does not work any more: " + answer.sentence,
                         log=self.keep_log("card-after-" + step, answer))

    def run(self, step, command, seconds, figures=False, on_line=None, environment=None, feed=None, good=(0,), failing=True,
            stop=None):
        """A step: a Done. With figures each line of standard output that is JSON becomes a line of ours."""
        limit, count = min(seconds, self.left_of_all()), 0
        if limit < 0.5:
            self.add(what=step, not_here="no time was left for it")
            return gpu_steps.Done("skipped", "no time was left for it", "", 0.0)

        def take(line):
            nonlocal count
            fields = gpu_page.as_object(line)
            if fields is not None:
                count += 1
                if count <= MOST_LINES:
                    self.add(**fields)
        done = gpu_steps.run(command, limit, take if figures else on_line, environment, ROOT, feed, stop)
        code = re.search(r"\[exit (\d+) after", done.text[-60:])
        if done.status == "failed" and code and int(code.group(1)) in good:
            done = done._replace(status="ok")
        if done.status != "ok" and failing:
            self.fail(step, done)
        elif figures and count == 0 and done.status == "ok":
            self.add(what=step, failed="it printed no figure", log=self.keep_log(step, done))
        return done

    def do_stages(self, seconds):
        """All of them, each with its share of what is left."""
        self.end = time.monotonic() + seconds - PAGE_SECONDS
        chosen = [row for row in gpu_stages.STAGES if row[0] in self.stages]
        for i, (name, weight, work) in enumerate(chosen):
            began, before, failures = time.monotonic(), len(self.lines.of_run), self.failures
            self.stage = name
            self.stage_end = began + max(0.0, self.end - began) * weight / sum(row[1] for row in chosen[i:])
            print("%s, at most %.0f s" % (name, self.left()), flush=True)
            self.clocks = gpu_steps.Clocks(None if name in WITHOUT_CARD else self.options.smi, self.options.index)
            try:
                work(self)
            except Exception as error:  # a fault of a stage's own is a line too, and the next stage begins
                self.add(what=name, failed="%s: %s" % (type(error).__name__, error),
                         log=self.logs.add(name, traceback.format_exc()))
            ranges, self.clocks = self.clocks.stop(), None
            if ranges:
                self.add(what="clocks", **ranges)
            self.add(what="stage", seconds=round(time.monotonic() - began, 1), figures=len(self.lines.of_run) - before,
                     failures=self.failures - failures)
            self.write_page()

    def write_page(self):
        try:
            gpu_page.write(self.path + ".jsonl", self.path + ".md", self.lines.of_run)
        except OSError as error:
            gpu_lines.complain("%s.md cannot be written: %s" % (self.path, error.strerror))


# ---- what this machine is ----

def output(*command):
    """What a command prints, or "" where it gives no answer. One that is stuck in the driver is left behind."""
    lines = []
    done = gpu_steps.run(command, ANSWER_SECONDS, lines.append)
    return "".join(lines).strip() if done.status in ("ok", "failed") else ""


def commit():
    """MT_COMMIT, or what git says of this folder itself, or unknown."""
    if os.environ.get("MT_COMMIT"):
        return os.environ["MT_COMMIT"]
    git = ["git", "-C", ROOT]
    top, name = output(*git, "rev-parse", "--show-toplevel"), output(*git, "rev-parse", "--short=12", "HEAD")
    if not top or not name or os.path.realpath(top) != os.path.realpath(ROOT):
        return "unknown"
    return name + ("-changed" if output(*git, "status", "--porcelain", "--untracked-files=no") else "")


def card_facts(options):
    """The fields that each line has of the card; refuses where there is none."""
    release = re.search(r"release [\d.]+, V([\d.]+)", output("nvcc", "--version"))
    facts = {"toolkit": release.group(1) if release else "none", "commit": commit()}
    if options.rehearse:
        return dict(facts, card="gpu-sim", driver="none", rehearsal=True)
    query = [options.smi, "--query-gpu=" + ",".join(FACTS), "--format=csv,noheader,nounits", "-i", options.index]
    text = output(*query) if options.smi else ""
    values = dict(zip(FACTS, (value.strip() for value in text.split("\n")[0].split(","))))
    if values.get("name") and len(values) == len(FACTS):
        return dict(facts, card=values["name"], driver=values["driver_version"], power_limit_w=values["power.limit"],
                    compute_capability=values["compute_cap"], memory_mib=values["memory.total"],
                    most_sm_mhz=values["clocks.max.sm"], most_memory_mhz=values["clocks.max.mem"])
    if os.path.exists("/dev/nvidia0"):  # a card, and nobody to ask about it
        text = output("sh", "-c", "cat /proc/driver/nvidia/gpus/*/information")
        found = re.search(r"Model:\s*(.+)", text)
        return dict(facts, card=found.group(1) if found else "unknown gpu", driver="unknown")
    if not options.smi:
        refuse("there is no NVIDIA driver here (nvidia-smi was not found), so nothing can be measured; --build-only builds "
               "what would be, --rehearse goes through it all without a GPU")
    refuse("nvidia-smi finds no GPU, so nothing can be measured; is one there, and does its driver run?")


def read_options():
    parser = argparse.ArgumentParser(prog="bench/gpu.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="DIR", help="where the files go (bench/results; for a rehearsal, results in its build "
                        "directory)")
    parser.add_argument("--only", metavar="STAGE,...", help="these stages alone")
    parser.add_argument("--seconds", metavar="N", type=float, help="for the whole; each stage has a share, and what one "
                        "leaves over goes to the later ones (330; for a rehearsal 1800)")
    parser.add_argument("--rehearse", action="store_true", help="go through it all on gpu-sim with small sizes; needs no "
                        "GPU and no nvcc, and says nothing about any GPU")
    parser.add_argument("--build", metavar="DIR", help="build there (build-gpu; for a rehearsal build-rehearsal)")
    parser.add_argument("--build-only", action="store_true", help="build what is measured and tested, and stop; needs no GPU")
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else NAMES
    for name in wanted:
        if name not in NAMES:
            parser.error("--only %s: the stages are %s" % (name, ", ".join(NAMES)))
    if options.seconds is None:
        options.seconds = 1800 if options.rehearse else 330
    if not options.seconds >= 10:
        parser.error("--seconds must be 10 or more")
    options.only = {"build", *wanted}
    options.build = os.path.abspath(options.build or os.path.join(ROOT, "build-rehearsal" if options.rehearse else "build-gpu"))
    usual = os.path.join(options.build if options.rehearse else os.path.join(ROOT, "bench"), "results")
    options.out = os.path.abspath(options.out or usual)
    return options


def find_tools(options):
    """Refuses without what building needs. The CUDA toolkit is looked for as Meson does it: in CUDA_HOME where that is set."""
    home = os.environ.get("CUDA_HOME")
    os.environ["PATH"] = os.pathsep.join(([os.path.join(home, "bin")] if home else []) + [os.environ.get("PATH", ""),
                                         "/usr/local/cuda/bin", "/opt/cuda/bin", os.path.dirname(sys.executable)])
    for tool in ("meson", "ninja"):
        if not shutil.which(tool):
            refuse("%s is not on the PATH; install it (Debian and Ubuntu: apt-get install meson ninja-build)" % tool)
    for variable, usual, language in (("CC", "cc", "C"), ("CXX", "c++", "C++")):
        if not shutil.which((os.environ.get(variable) or usual).split()[0]):
            refuse("there is no %s compiler (Debian and Ubuntu: apt-get install build-essential)" % language)
    if not options.rehearse and not shutil.which("nvcc"):
        refuse("nvcc was not found; install the CUDA toolkit, 12 or later, or set CUDA_HOME to where it is")
    options.smi = None if options.rehearse else shutil.which("nvidia-smi")
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    options.index = first if first else "0"


def stopped(number, frame):
    raise KeyboardInterrupt


def main():
    began, options = time.monotonic(), read_options()
    find_tools(options)
    if options.build_only:
        card = {"card": "build", "toolkit": "", "commit": ""}
        options.smi = None
    else:
        card = card_facts(options)
        print("measuring on " + card["card"], flush=True)
    session = Session(options, card)
    if options.build_only:
        session.end = session.stage_end = began + 3600
        session.stage = "build"
        gpu_stages.build(session)
        print("failed" if session.failures else "built in " + options.build)
        return 1 if session.failures else 0
    signal.signal(signal.SIGTERM, stopped)
    try:
        session.do_stages(options.seconds - (time.monotonic() - began))
    except KeyboardInterrupt:
        session.add(what="stage", failed="the run was stopped from outside")
    finally:
        gpu_steps.end_all()
        kept = session.lines.finish()
        session.write_page()
    print("\n%s\n%d lines of this run in %s.jsonl, the page is %s.md" %
          (gpu_page.worst_text(session.lines.of_run), len(session.lines.of_run), session.path, session.path))
    return 1 if session.failures or not kept else 0


if __name__ == "__main__":
    sys.exit(main())
