#!/bin/sh
# bootstrap.sh - from a fresh clone to a built program: checks what is there, installs only what is missing, configures
# build/, builds run_fast in it, and leaves project/run_fast as a link to it. `./bootstrap.sh --help` for more.
set -eu
cd "$(dirname "$0")"

usage() {
    cat <<'TEXT'
Usage: ./bootstrap.sh [--all | --test]

  (no option)  install what run_fast needs and build it alone: 62 MB on a bare Debian 12, and 1 minute of a processor
  --all        also install a C++ compiler (for backend gpu-sim), gnuplot (for plots) and cmocka (for the tests), and
               build everything: 95 MB in all, and 6 minutes of a processor
  --test       --all, and run the tests (cmocka is then required)
  --help       this text

Required: a C17 compiler, Meson 1.0.1 or later, Ninja, pkg-config, Python 3. Where all are there, no package manager,
network or root is used. On Debian and Ubuntu what is missing is installed with apt-get, as root or through sudo;
without either, Meson and Ninja come from pip into .venv. CC chooses the compiler, as in CC=clang ./bootstrap.sh.
TEXT
}

run_tests=no
everything=no
for option in "$@"; do
    case $option in
    --all) everything=yes ;;
    --test) everything=yes run_tests=yes ;;
    --help | -h) usage; exit 0 ;;
    *) echo "bootstrap.sh: unknown option $option; the options are --all, --test and --help" >&2; exit 2 ;;
    esac
done

meson_needed=1.0.1
say() { echo "bootstrap: $*"; }
fail() { echo "bootstrap: $*" >&2; exit 1; }

# ---- what is there ----

at_least() { # at_least 1.10 1.2.1: whether the first version is the second or later
    awk -v have="$1" -v need="$2" 'BEGIN {
        split(have, h, /[^0-9]+/); split(need, n, /[^0-9]+/)
        for (i = 1; i <= 3; i++) if (h[i] + 0 != n[i] + 0) exit !(h[i] + 0 > n[i] + 0)
    }'
}

find_compiler() {
    for name in ${CC:+"$CC"} cc gcc clang; do
        # CC may hold flags too ("ccache gcc"), so it is split into words.
        # shellcheck disable=SC2086
        if command -v ${name%% *} >/dev/null 2>&1 && compiles $name; then return 0; fi
    done
    return 1
}
# As Meson looks for it; gpu-sim is written in C++.
find_cxx() {
    for name in ${CXX:+"$CXX"} c++ g++ clang++; do
        # shellcheck disable=SC2086
        if command -v ${name%% *} >/dev/null 2>&1 && compiles_cxx $name; then return 0; fi
        if [ -n "${CXX:-}" ]; then return 1; fi
    done
    return 1
}
compiles_cxx() {
    scratch=$(mktemp -d)
    printf '#include <vector>\nint main() { std::vector<int> v(1); return v[0]; }\n' >"$scratch/c.cpp"
    compiled=yes
    "$@" -std=c++17 -o "$scratch/c" "$scratch/c.cpp" >/dev/null 2>&1 || compiled=no
    rm -rf "$scratch"
    test $compiled = yes
}
compiles() { # a compiler without the C library's headers and start files is not enough
    scratch=$(mktemp -d)
    printf '#include <math.h>\n#include <stdio.h>\nint main(void) { return printf("%%g", sqrt(4)) < 0; }\n' >"$scratch/c.c"
    compiled=yes
    "$@" -std=c17 -o "$scratch/c" "$scratch/c.c" -lm >/dev/null 2>&1 || compiled=no
    rm -rf "$scratch"
    test $compiled = yes
}
have() { command -v "$1" >/dev/null 2>&1; }
have_meson() { have meson && at_least "$(meson --version 2>/dev/null || echo 0)" $meson_needed; }
have_ninja() { have ninja || have ninja-build || have samu; }
have_pkg_config() { have pkg-config || have pkgconf; }
have_cmocka() {
    if have pkg-config; then pkg-config --exists cmocka 2>/dev/null; else have pkgconf && pkgconf --exists cmocka; fi
}

# Lists what is missing, as our own words: the package's name follows from the system.
check() {
    missing=
    missing_optional=
    find_compiler || missing="$missing compiler"
    have python3 || missing="$missing python3"
    have_meson || missing="$missing meson"
    have_ninja || missing="$missing ninja"
    have_pkg_config || missing="$missing pkg-config"
    if ! have_cmocka; then
        if [ $run_tests = yes ]; then missing="$missing cmocka"; else missing_optional="$missing_optional cmocka"; fi
    fi
    if [ "$(uname -s)" = Linux ]; then find_cxx || missing_optional="$missing_optional c++"; fi # the simulator's system
    have gnuplot || missing_optional="$missing_optional gnuplot"
    missing=${missing# }
    missing_optional=${missing_optional# }
}

purpose() {
    case $1 in
    c++) echo "backend gpu-sim, which runs the CUDA kernels without a GPU" ;;
    cmocka) echo "the tests" ;;
    gnuplot) echo "run_fast --plot to .svg and .png (.csv works without)" ;;
    esac
}

# ---- what it is called here ----

system() {
    if [ "$(uname -s)" = Darwin ]; then echo macos; return; fi
    # A sub-shell, since os-release sets variables.
    # shellcheck disable=SC1091
    id=$(if [ -r /etc/os-release ]; then . /etc/os-release && echo "${ID:-} ${ID_LIKE:-}"; fi)
    case " $id " in
    *" debian "* | *" ubuntu "*) echo debian ;;
    *" fedora "* | *" rhel "*) echo fedora ;;
    *" arch "*) echo arch ;;
    *" alpine "*) echo alpine ;;
    *) echo other ;;
    esac
}

packages() { # packages SYSTEM WORD...
    on=$1
    shift
    list=
    for word in "$@"; do
        case $on:$word in
        debian:compiler) name="gcc libc6-dev" ;;
        debian:c++ | alpine:c++) name=g++ ;;
        fedora:c++) name=gcc-c++ ;;
        arch:c++) name=gcc ;;
        other:c++) name="a C++17 compiler" ;;
        debian:ninja | fedora:ninja) name=ninja-build ;;
        debian:cmocka) name=libcmocka-dev ;;
        debian:gnuplot) name=gnuplot-nox ;;
        fedora:pkg-config) name=pkgconf-pkg-config ;;
        fedora:cmocka) name=libcmocka-devel ;;
        fedora:compiler | arch:compiler) name=gcc ;;
        arch:pkg-config | alpine:pkg-config) name=pkgconf ;;
        arch:python3) name=python ;;
        alpine:compiler) name="gcc musl-dev" ;;
        alpine:ninja) name=samurai ;;
        alpine:cmocka) name=cmocka-dev ;;
        macos:compiler) name=llvm ;;
        macos:python3) name=python ;;
        macos:meson) name="meson libomp" ;;
        other:compiler) name="a C17 compiler with OpenMP" ;;
        *) name=$word ;;
        esac
        list="$list${list:+ }$name"
    done
    echo "$list"
}

command_for() { # the one line that installs the packages
    on=$1
    shift
    case $on in
    debian) echo "apt-get update && apt-get install -y --no-install-recommends $*" ;;
    fedora) echo "dnf install -y $*" ;;
    arch) echo "pacman -S --needed $*" ;;
    alpine) echo "apk add $*" ;;
    macos) echo "brew install $*" ;;
    other) echo "install $*" ;;
    esac
}

# ---- installing ----

# How to become root: "" when we are, sudo where it exists and may be used, or "no".
root_by() { # root_by ask|never: whether sudo may ask for a password
    if [ "$(id -u)" = 0 ]; then
        echo ""
    elif have sudo && sudo -n true 2>/dev/null; then
        echo "sudo -n"
    elif have sudo && [ "$1" = ask ] && [ -t 0 ]; then
        echo sudo
    else
        echo no
    fi
}

apt_updated=no
apt_install() { # apt_install BY PACKAGE...: 1 when apt-get failed
    by=$1
    shift
    apt="$by env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=2 -o DPkg::Lock::Timeout=300"
    log=$(mktemp)
    if [ $apt_updated = no ]; then
        $apt update >"$log" 2>&1 || say "apt-get update failed; trying with the package lists that are there"
        apt_updated=yes
    fi
    # "Need to get 62.0 MB of archives." and "After this operation, 244 MB of additional disk space will be used."
    plan=$(LC_ALL=C apt-get install --assume-no --no-install-recommends "$@" 2>/dev/null || true)
    download=$(echo "$plan" | sed -n 's/^Need to get \(.*\) of archives.*/\1/p')
    disk=$(echo "$plan" | sed -n 's/^After this operation, \(.*\) of additional.*/\1/p')
    say "installing with apt-get: $*${download:+ ($download to download, ${disk:-?} on disk)}"
    installed=yes
    $apt install -y --no-install-recommends "$@" </dev/null >>"$log" 2>&1 || installed=no
    if [ $installed = yes ]; then changed=yes; else grep '^[EW]:' "$log" | tail -n 3 >&2; fi
    rm -f "$log"
    test $installed = yes
}

# Meson and Ninja from pip, for those without root and for systems whose Meson is too old.
venv_install() {
    have python3 || return 1
    say "installing Meson and Ninja from pip into .venv (1.3 MB to download, 37 MB on disk)"
    if python3 -m venv .venv >/dev/null 2>&1 && .venv/bin/python -m pip install --quiet "meson>=$meson_needed" ninja; then
        changed=yes
        return 0
    fi
    rm -rf .venv
    say "that failed: it needs Python's venv and pip modules, and a way to PyPI"
    return 1
}

# Whether every word of the list is one that pip can bring.
only_meson_and_ninja() {
    for word in "$@"; do
        case $word in meson | ninja) ;; *) return 1 ;; esac
    done
}

install_required() {
    if [ "$on_system" = debian ]; then
        by=$(root_by ask)
        if [ "$by" != no ]; then
            # shellcheck disable=SC2046,SC2086
            apt_install "$by" $(packages debian $missing) || say "apt-get could not install everything"
            check
            # shellcheck disable=SC2086
            if [ -n "$missing" ] && only_meson_and_ninja $missing; then # Meson was there, or came, but is too old
                apt_install "$by" python3-venv || true
                venv_install || true
                check
            fi
            [ -n "$missing" ] || return 0
            # shellcheck disable=SC2046,SC2086
            fail "still missing: $missing (packages: $(packages debian $missing)). Is there a way to the package server?"
        fi
    fi
    # shellcheck disable=SC2086
    if [ "$on_system" = debian ] && only_meson_and_ninja $missing && venv_install; then
        check
        [ -n "$missing" ] || return 0
    fi
    # shellcheck disable=SC2046,SC2086
    fail "missing: $missing. An administrator can install them with
    $(command_for "$on_system" $(packages "$on_system" $missing))"
}

install_optional() {
    by=no
    if [ "$on_system" = debian ] && [ $everything = yes ]; then by=$(root_by never); fi
    if [ "$by" != no ]; then
        # shellcheck disable=SC2046,SC2086
        apt_install "$by" $(packages debian $missing_optional) ||
            for word in $missing_optional; do # one that cannot be had keeps no other away
                apt_install "$by" $(packages debian "$word") || true
            done
        check
    fi
    for word in $missing_optional; do
        say "without $(packages "$on_system" "$word"), which is optional: not $(purpose "$word")"
    done
    if [ "$on_system" = debian ] && [ $everything = no ]; then say "./bootstrap.sh --all installs these too"; fi
}

if [ -x .venv/bin/meson ]; then
    PATH=$PWD/.venv/bin:$PATH
    export PATH
fi
changed=no
on_system=$(system)
check
if [ -n "$missing" ]; then
    say "missing: $missing"
    PATH=$PWD/.venv/bin:$PATH # where venv_install puts what it brings
    export PATH
    install_required
fi
if [ -n "$missing_optional" ]; then install_optional; fi

# ---- configuring and building ----

if [ ! -f build/build.ninja ]; then
    meson setup build
elif ! grep -q "\"source\": \"$PWD\"" build/meson-info/meson-info.json 2>/dev/null; then
    say "build/ was configured elsewhere; starting it again"
    meson setup --wipe build
elif [ $changed = yes ] || { have_cmocka && grep -q '"name": "cmocka"' build/meson-info/intro-tests.json; }; then
    meson setup --reconfigure build # there is something new to find
fi
if [ $everything = yes ]; then
    meson compile -C build
else
    meson compile -C build project/run_fast
fi
for program in project/run_fast bench/matmul_sweep; do
    if [ -x "build/$program" ]; then ln -sf "../build/$program" "$program"; fi
done
say "built; try project/run_fast --backend cpu --dataset xor"
case $(command -v meson) in
"$PWD"/.venv/*) say "Meson is in .venv; before you call it yourself, as in meson test -C build:
    PATH=\$PWD/.venv/bin:\$PATH" ;;
esac

if [ $run_tests = yes ]; then
    meson test -C build --print-errorlogs
fi
