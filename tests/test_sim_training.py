#!/usr/bin/env python3
"""Training on gpu-sim is training on cpu: 20 epochs on each data set under three schedules, line by line.

Usage: test_sim_training.py RUN_FAST. The losses agree within 1e-4 of the cpu's, the schedules to the last digit; after
the first epoch nothing is copied between host and device but what a line prints; --stats counts it all, and a step has no more launches than its budget.
"""
import json
import os
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


def seeded(seed):
    return subprocess.run([PROGRAM, "--backend", "gpu-sim", "--epochs", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=dict(os.environ, MT_SIM_SEED=seed), timeout=300, text=True)


def losses(text):
    return [float(line.split()[3]) for line in text.splitlines()]


def counts(epochs, *options):
    """What --stats counts in a run of so many epochs that prints two lines."""
    text = run("--backend", "gpu-sim", "--epochs", str(epochs), "--every", "1000", "--stats", *options, "--log", "json").stdout
    return json.loads(text.splitlines()[-1])


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

fine = all(seeded(seed).returncode == 0 for seed in ["", "0", "09", "0x10", "18446744073709551615"])
for seed in ["x", "7x", "0x", "-1", " 7", "1.5", "18446744073709551616"]:
    done = seeded(seed)
    fine = fine and done.returncode == 1 and f'MT_SIM_SEED is "{seed}"' in done.stderr and done.stdout == ""
failed += not fine
print(f"{'ok    ' if fine else 'FAIL  '}MT_SIM_SEED is a whole number, and anything else is refused")

COPIES = ["uploads", "upload_bytes", "downloads", "download_bytes"]
short, long = counts(2), counts(12)
none = all(short[name] == long[name] and long["epoch_" + name] == 0 for name in COPIES) and short["downloads"] > 0
failed += not none
print(f"{'ok    ' if none else 'FAIL  '}ten more epochs copy nothing: {[(long[name], long['epoch_' + name]) for name in COPIES]}")

rows, more = ({row["kernel"]: row for row in each["by_kernel"]} for each in (short, long))
right = (long["multiprocessors"] == 132 and long["launches"] == sum(row["launches"] for row in more.values()) and
         long["launches"] - short["launches"] == 10 * long["epoch_launches"] and
         all(more[name]["launches"] - row["launches"] == 10 * row["epoch_launches"] for name, row in rows.items()) and
         all(row["blocks"] >= row["launches"] and row["requests"] > 0 and row["sectors"] >= row["requests"]
             for row in rows.values()) and
         all(row["few_blocks"] <= row["launches"] and 132 * (row["launches"] - row["few_blocks"]) <= row["blocks"]
             for row in rows.values()) and any(row["few_blocks"] > 0 for row in rows.values()) and
         any(row["barriers"] > 0 for row in rows.values()) and any(row["shared_requests"] > 0 for row in rows.values()))
failed += not right
print(f"{'ok    ' if right else 'FAIL  '}launches by kernel, for the run and an epoch: {long['launches']}, {long['epoch_launches']}")

# What a step costs a card: five steps an epoch of the network that run_fast trains by default. An epoch adds a permutation and
# two gathers. More launches than these is a slower step; fewer is a better one, to be written here.
STEP = {"fill": 1, "map relu gradient": 2, "map scale": 1, "matmul direct": 5, "matmul small": 2, "matmul vector": 1,
        "reduce sum": 4, "update sgd": 1, "zip sigmoid_cross_entropy": 1, "zip sigmoid_cross_entropy gradient a": 1}
have = {name: row["epoch_launches"] for name, row in more.items() if row["epoch_launches"] > 0}
want = dict({name: 5 * count for name, count in STEP.items()}, **{"permutation": 1, "rows take": 2})
failed += have != want
print(f"{'ok    ' if have == want else 'FAIL  '}{sum(STEP.values())} launches a step" +
      ("" if have == want else f": an epoch has {have}, and the budget is {want}"))

table = run("--backend", "gpu-sim", "--epochs", "1", "--stats").stderr
told = (all(f"\n  {name} " in table and f"\n{name} " in table for name in rows) and
        "few blocks: launches of the run with fewer blocks than the 132 multiprocessors of an H100" in table)
failed += not told
print(f"{'ok    ' if told else 'FAIL  '}--stats prints a row of launches and one of the simulator's counts for each kernel")
sys.exit(1 if failed else 0)
