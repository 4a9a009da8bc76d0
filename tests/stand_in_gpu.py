#!/usr/bin/env python3
"""What test_bench_gpu.py puts in the place of programs, tools and a card: `stand_in_gpu.py NAME ARGUMENT...` prints what
NAME would. The environment says what goes wrong: STAND_IN_FAIL and STAND_IN_HANG name a part of gpu_numbers,
STAND_IN_GONE_AFTER one after which the smoke part fails, STAND_IN_START how many seconds the first run_fast needs to start,
STAND_IN_CARD the card, STAND_IN_BUILD the build directory.
"""
import json
import os
import subprocess
import sys
import time

NAME, ARGUMENTS = os.path.basename(sys.argv[1]), sys.argv[2:]
BUILD = os.environ["STAND_IN_BUILD"]
WORK = {"smoke": [("product", "256"), ("copy", "1 MB")], "matmul": [("matmul", "nn 64x64x64"), ("matmul", "nn 128x128x128")],
        "elementwise": [("map", "exp 1000")], "reduce": [("reduce", "sum 1000")], "move": [("copy", "transposed 32x32")],
        "training": [("step", "xor hidden 100 batch 10")]}
NCU = """==PROF== Connected to process 1
"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size","Grid Size","Device","CC","Section Name","Metric Name","Metric Unit","Metric Value"
"0","1","x","127.0.0.1","product_tiles<large>(product)","1","7","(256, 1, 1)","(1024, 1, 1)","0","9.0","Command line profiler metrics","gpu__time_duration.sum","ns","9.5"
"1","1","x","127.0.0.1","product_tiles<large>(product)","1","7","(256, 1, 1)","(1024, 1, 1)","0","9.0","Command line profiler metrics","gpu__time_duration.sum","ns","1,234,500"
"1","1","x","127.0.0.1","product_tiles<large>(product)","1","7","(256, 1, 1)","(1024, 1, 1)","0","9.0","Command line profiler metrics","sm__warps_active.avg.pct_of_peak_sustained_active","%","61.5"
"""


def say(**fields):
    print(json.dumps(fields), flush=True)


def numbers():
    part = ARGUMENTS[ARGUMENTS.index("--part") + 1]
    gone = os.path.join(BUILD, "gone")
    if part == "smoke" and os.path.exists(gone):
        sys.exit("gpu_numbers: the card does not answer")
    for what, case in WORK[part]:
        loop = {"timing": "loop", "why_loop": "it waits in between"} if what == "map" else {"timing": "graph"}
        for by, us in (("ours", 10), ("cublas", 8)):
            say(stage={"smoke": "smoke", "training": "training"}.get(part, "numbers"), what=what, case=case, by=by, us=us, low_us=us - 1, high_us=us + 1, samples=20, bytes=4000.0, error=1e-7,
                tolerance=1e-5, **loop)
    if part == os.environ.get("STAND_IN_GONE_AFTER"):
        open(gone, "w").close()
    if part == os.environ.get("STAND_IN_FAIL"):
        for i in range(20000):
            print("line %d of 20000" % (i + 1), file=sys.stderr)
        print("gpu_numbers: an illegal address", file=sys.stderr)
        sys.exit(3)
    if part == os.environ.get("STAND_IN_HANG"):
        child = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
        with open(os.path.join(BUILD, "child"), "w", encoding="utf-8") as stream:
            stream.write(str(child.pid))
        time.sleep(1000)


def smi():
    if "-lms" not in ARGUMENTS:
        print(os.environ["STAND_IN_CARD"] + ", 580.1, 700.00, 9.0, 81559, 1980, 2619")
        return
    while True:
        print("1755, 2619, 650.1, 50", flush=True)
        time.sleep(0.05)


def sanitizer():
    check = ARGUMENTS[1]
    if ARGUMENTS[-3:] != ["--backend", "gpu", "--large"]:
        sys.exit("compute-sanitizer: what it shall run is " + " ".join(ARGUMENTS))
    if check == "initcheck":
        print("========= Error: Device not supported")
        sys.exit(1)
    print({"racecheck": "========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)"}.get(
        check, "========= ERROR SUMMARY: 0 errors"))
    sys.exit(9 if check == "racecheck" else 0)


def ncu():
    if os.environ["STAND_IN_CARD"].endswith("HBM3"):
        print(NCU)
    else:
        print("==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU Performance Counters")
        sys.exit(1)


def main():
    if NAME == "gpu_numbers":
        time.sleep(0.3)  # the clocks are read meanwhile
        numbers()
    elif NAME.startswith("gpu_slots"):
        print("ok    gpu_slots matmul\nFAIL  gpu_slots copy: element 3 is 1 and not 2\nsummary: gpu_slots")
        for option in ARGUMENTS[2:]:
            print("ok    gpu_slots " + option.strip("-"))
    elif NAME == "run_fast":
        if ARGUMENTS[:4] == ["--dataset", "simple", "--backend", "cpu"]:
            time.sleep(float(os.environ.get("STAND_IN_START", "0")))
        for epoch in range(5):
            say(epoch=epoch, loss=1.0 / (1 + epoch))
    elif NAME == "matmul_sweep":
        with open(ARGUMENTS[ARGUMENTS.index("--csv") + 1], "w", encoding="utf-8") as stream:
            stream.write("size,backend,seconds,gflops,batch,threads,low,high,samples,percent_of_fma,shape\n"
                         "256,cpu,2e-05,100,1,1,1e-05,3e-05,7,50,1 x 256 x 256\n")
    elif NAME == "scaling":
        print("add              512 x 512          2    20.6 us  (20.5 us to 20.7 us)  speed-up  4.83  efficiency 242 %    152.5 GB/s")
    elif NAME == "nvcc":
        print("Cuda compilation tools, release 13.0, V13.0.88")
    elif NAME in ("nvidia-smi", "compute-sanitizer", "ncu"):
        {"nvidia-smi": smi, "compute-sanitizer": sanitizer, "ncu": ncu}[NAME]()
    elif NAME == "git":
        sys.exit(128)


main()
