#!/usr/bin/env python3
"""Training on gpu-sim is training on cpu: 20 epochs on each data set under three schedules, line by line.

Usage: test_sim_training.py RUN_FAST. The losses agree within 1e-4 of the cpu's, the schedules to the last digit, and
after the first epoch nothing is copied between host and device but what a line prints.
"""
import os
import re
import subprocess
import sys

PROGRAM = sys.argv[1]
DATASETS = ["simple", "diag", "split", "xor", "circle", "spiral"]
SEEDS = ["1", "2", "3"]


def run(*options, schedule="1"):
    command = [PROGRAM, "--every", "1", *options]
    environment = dict(os.environ, MT_SIM_SEED=schedule)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, timeout=300, text=True)
    if done.returncode != 0:
        sys.exit(f"FAIL  {' '.join(command)}: status {done.returncode}, {done.stderr}")
    return done


def losses(text):
    return [float(line.split()[3]) for line in text.splitlines()]


def copies(epochs):
    """Bytes to and from the device for a run of so many epochs that prints one line."""
    text = run("--backend", "gpu-sim", "--epochs", str(epochs), "--every", "1000", "--stats").stderr
    return [int(n) for n in re.findall(r"loads \d+ \((\d+) bytes\)", text)]


failed = 0
for dataset in DATASETS:
    options = ["--dataset", dataset, "--epochs", "20"]
    want = losses(run("--backend", "cpu", *options).stdout)
    texts = [run("--backend", "gpu-sim", *options, schedule=seed).stdout for seed in SEEDS]
    got = losses(texts[0])
    worst = max(abs(a - b) / abs(a) for a, b in zip(want, got)) if len(want) == len(got) == 20 else float("inf")
    same = len(set(texts)) == 1
    failed += worst > 1e-4 or not same
    print(f"{'ok    ' if worst <= 1e-4 and same else 'FAIL  '}{dataset}: losses within {worst:.1e} of cpu's, the same "
          f"under {len(SEEDS)} schedules: {same}", flush=True)

short, long = copies(2), copies(12)
an_epoch = sum(b - a for a, b in zip(short, long)) / 10
small = an_epoch == 0
failed += not small
print(f"{'ok    ' if small else 'FAIL  '}an epoch copies {an_epoch:.0f} bytes between host and device")
sys.exit(1 if failed else 0)
