#!/bin/sh
# bench/gpu.sh - measures the gpu backend on a machine with an NVIDIA GPU: `bench/gpu.sh`, under ten minutes.
#
# Needs the CUDA toolkit (12 or later), Meson, Ninja, Python 3 and a C and C++ compiler, and no network; uses cuBLAS,
# compute-sanitizer and PyTorch where they are. The first build takes most of the time on a machine with few cores. Builds in build-gpu/, runs the GPU tests and the sanitizer on a part of
# the work, times products and training, and writes bench/results/GPU-NAME.json.
set -eu
began=$(date +%s)
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
build=$root/build-gpu
build_only=no
rehearse=

usage() {
    cat <<'TEXT'
Usage: bench/gpu.sh [--build DIRECTORY] [--build-only] [--rehearse FILE]

  --build DIRECTORY  build there instead of in build-gpu/
  --build-only       build what is measured, and stop; needs no GPU
  --rehearse FILE    go through the measurements with gpu-sim and tiny sizes, and write FILE; needs no GPU and no nvcc.
                     What it writes says nothing about any GPU
TEXT
}

refuse() {
    echo "bench/gpu.sh: $1" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --build | --rehearse)
        if [ $# -lt 2 ]; then echo "bench/gpu.sh: $1 needs a value" >&2; exit 2; fi
        if [ "$1" = --build ]; then build=$2; else rehearse=$2; fi
        shift
        ;;
    --build-only) build_only=yes ;;
    --help | -h) usage; exit 0 ;;
    *) echo "bench/gpu.sh: unknown option $1; the options are --build, --build-only and --rehearse" >&2; exit 2 ;;
    esac
    shift
done

for tool in meson ninja python3; do
    command -v $tool >/dev/null || refuse "$tool is not on the PATH; install it (Debian and Ubuntu: apt-get install meson ninja-build python3)"
done
command -v "${CC:-cc}" >/dev/null || refuse "there is no C compiler (Debian and Ubuntu: apt-get install build-essential)"
command -v "${CXX:-c++}" >/dev/null || refuse "there is no C++ compiler, which nvcc needs (Debian and Ubuntu: apt-get install build-essential)"

if [ -z "$rehearse" ]; then
    # As Meson looks for it: CUDA_HOME alone where that is set. The other tools lie beside it.
    if [ -n "${CUDA_HOME:-}" ]; then PATH=$CUDA_HOME/bin:$PATH; fi
    PATH=$PATH:/usr/local/cuda/bin:/opt/cuda/bin
    command -v nvcc >/dev/null || refuse "nvcc was not found; install the CUDA toolkit, 12 or later, or set CUDA_HOME to where it is"
    if [ $build_only = no ]; then
        command -v nvidia-smi >/dev/null ||
            refuse "there is no NVIDIA driver here (nvidia-smi was not found), so nothing can be measured; --build-only builds what would be"
        gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1) || gpu=
        test -n "$gpu" || refuse "nvidia-smi finds no GPU, so nothing can be measured; is one there, and does its driver run?"
        echo "measuring on $gpu"
    fi
fi

if [ ! -f "$build/build.ninja" ]; then
    if [ -n "$rehearse" ]; then cuda=auto; else cuda=enabled; fi
    meson setup "$build" "$root" -Dbuildtype=release -Dcuda=$cuda
fi
ninja -C "$build"
yardsticks=
if [ -z "$rehearse" ]; then
    arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d .) || arch=
    yardsticks=$build/gpu_yardsticks
    # Nothing of it is in the library: cuBLAS is here to be compared with, and may be missing.
    nvcc -O3 -std=c++17 -arch="sm_${arch:-90}" "$here/gpu_yardsticks.cu" -lcublas -o "$yardsticks" ||
        { echo "bench/gpu.sh: no yardsticks: cuBLAS was not found beside nvcc"; yardsticks=; }
fi
if [ $build_only = yes ]; then
    echo "built in $build"
    exit 0
fi
exec python3 "$here/gpu_measure.py" --root "$root" --build "$build" ${yardsticks:+--yardsticks "$yardsticks"} \
    ${rehearse:+--rehearse "$rehearse"} --spent $(($(date +%s) - began))
