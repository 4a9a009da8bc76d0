#!/usr/bin/env bash
# fuzz/run.sh [SECONDS [TARGET...]] - builds the fuzz targets with clang's libFuzzer and sanitizers, and runs each so long
# (60 s), all at once; options, parse and program where none is named.
#
# What a run learns stays in BUILD/fuzz/corpus-TARGET for the next one. A finding ends its target: its file, and the
# command that repeats it, are printed, and the exit status is 1. BUILD=DIRECTORY builds elsewhere than in build-fuzz; SEED=N
# draws the same inputs again, as far as the time allows.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} = 0 ]; then targets=(options parse program); fi
build=${BUILD:-build-fuzz}

if [ ! -e "$build/build.ninja" ]; then
    # Serial, since the sanitizers do not know clang's OpenMP; the twins have checks of their own.
    CC=${FUZZ_CC:-clang} meson setup "$build" -Dfuzz=enabled -Dbuildtype=debugoptimized -Db_sanitize=address,undefined \
        -Db_lundef=false -Dopenmp=disabled -Dsim=disabled -Dcuda=disabled -Dtests=disabled >"$build.log" ||
        { cat "$build.log"; exit 1; }
fi
ninja -C "$build" --quiet "${targets[@]/#/fuzz/fuzz_}"

run_one() {
    local name=$1 own=$build/fuzz/corpus-$1 arguments
    mkdir -p "$own"
    arguments=(-max_total_time="$seconds" -max_len=600 -timeout=20 -print_final_stats=1 -seed="${SEED:-0}" -artifact_prefix="$build/fuzz/$name-")
    if [ -e "fuzz/$name.dict" ]; then arguments+=(-dict="fuzz/$name.dict"); fi
    "$build/fuzz/fuzz_$name" "${arguments[@]}" "$own" "fuzz/corpus/$name" >"$build/fuzz/$name.log" 2>&1
}
pids=()
for name in "${targets[@]}"; do
    run_one "$name" &
    pids+=($!)
done

failed=0
for i in "${!targets[@]}"; do
    name=${targets[$i]} status=0
    log=$build/fuzz/$name.log
    wait "${pids[$i]}" || status=$?
    printf '%-8s %s executions, %s\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$(sed -n 's/^#.* cov: \([0-9]*\) ft: \([0-9]*\) .*/\1 branches, \2 features/p' "$log" | tail -n 1)"
    if [ $status = 0 ]; then continue; fi
    failed=1
    grep -v '^#' "$log" | tail -n 60
    file=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    echo "FOUND by $name, exit $status: ${file:-no file, see $log}"
    if [ -e "$file" ]; then
        echo "again: $build/fuzz/fuzz_$name $file"
        echo "the file in base64: $(base64 <"$file" | tr -d '\n')"
    fi
done
exit $failed
