#!/bin/sh
# bench/gpu.sh - measures the gpu backend on a machine with an NVIDIA GPU, in stages: `bench/gpu.sh`, five and a half minutes.
#
# Needs the CUDA toolkit (12 or later), Meson, Ninja, Python 3 and a C and C++ compiler, and no network; uses cuBLAS, ncu,
# compute-sanitizer and PyTorch where they are. `bench/gpu.sh --help` lists the stages and where the figures go.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
command -v python3 >/dev/null || {
    echo "bench/gpu.sh: python3 is not on the PATH; install it (Debian and Ubuntu: apt-get install python3)" >&2
    exit 1
}
exec python3 -B "$here/gpu_measure.py" "$@"
