#!/usr/bin/env python3
"""Training works: on each data set a few seeds reach a modest number of correct points. Nothing here measures time.

Usage: test_training.py RUN_FAST. Prints one line a data set and exits 1 when any falls short.
"""
import json
import subprocess
import sys

PROGRAM = sys.argv[1]
SEEDS = [1, 2, 3]
SPIRAL = ["--optimizer", "adam", "--rate", "0.01", "--epochs", "1000"]
# data set, options, the least the median seed must get right of 50
GOALS = [
    ("simple", ["--epochs", "150"], 46),
    ("diag", ["--epochs", "150"], 46),
    ("split", ["--epochs", "400"], 44),
    ("xor", ["--epochs", "400"], 44),
    ("circle", ["--epochs", "400"], 42),
    ("spiral", SPIRAL, 44),
]


def train(dataset, options, seed):
    command = [PROGRAM, "--dataset", dataset, "--seed", str(seed), "--log", "json", "--report-loss", "mean-epoch", *options]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    if result.returncode != 0:
        sys.exit(f"FAIL  {' '.join(command)}: status {result.returncode}, {result.stderr.decode()}")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return rows[0], rows[-1]


failed = 0
for dataset, options, goal in GOALS:
    runs = [train(dataset, options, seed) for seed in SEEDS]
    correct = sorted(last["correct"] for _, last in runs)
    learned = all(last["loss"] < first["loss"] for first, last in runs)
    good = correct[len(correct) // 2] >= goal and learned
    failed += not good
    print(f"{'ok    ' if good else 'FAIL  '}{dataset}: {correct} of 50 correct, the median must be at least {goal}; "
          f"loss {'fell' if learned else 'did not fall'} for every seed", flush=True)
sys.exit(1 if failed else 0)
