#!/bin/sh
# tests/install/subproject.sh - a project of somebody else's, which has this tree as a Meson subproject.
#
#     subproject.sh SOURCE-ROOT BUILD-ROOT CC...
#
# dependency('minitorch', fallback: ...) and the same of minitorch_d must be found, and a program must be built and run,
# with the shared libraries and with the static ones. Not optimised, as such a project is by default, and without the CUDA
# twins, which are linked by the same lines.
set -eu
source=$1 build=$2
shift 2
CC=$*
export CC
if ! command -v meson >/dev/null; then echo "subproject.sh: meson is not on the PATH"; exit 77; fi
work=$(mktemp -d "$build/subproject-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/subprojects"
ln -s "$source" "$work/subprojects/minitorch"
cp "$source/tests/install/use.c" "$work"
cat >"$work/meson.build" <<'TEXT'
project('somebody', 'c', default_options: ['c_std=c17', 'warning_level=3', 'werror=true'])
m_dep = meson.get_compiler('c').find_library('m', required: false)
foreach name : ['minitorch', 'minitorch_d']
  executable('use_' + name, 'use.c', dependencies: [m_dep, dependency(name, fallback: ['minitorch', name + '_dep'])])
endforeach
TEXT
for kind in shared static; do
    meson setup "$work/$kind" "$work" -Dminitorch:default_library=$kind -Dminitorch:sim=disabled -Dminitorch:cuda=disabled \
        -Dminitorch:werror=false >"$work/log" || { cat "$work/log"; exit 1; }
    ninja -C "$work/$kind" use_minitorch use_minitorch_d >"$work/log" || { cat "$work/log"; exit 1; }
    for name in minitorch minitorch_d; do
        echo "use_$name, $kind: $("$work/$kind/use_$name")"
    done
done
