#!/bin/sh
# tests/install/run.sh - installs what was built and uses it as a stranger would: through pkg-config alone.
#
#     [CXX=c++] run.sh SOURCE-ROOT BUILD-ROOT CC...
#
# Without a C++ compiler the C++17 program is named as not checked; a CXX that is given must be there.
set -eu
source=$1 build=$2
shift 2
cc=$*
cxx=${CXX:-}
if [ -z "$cxx" ] && command -v c++ >/dev/null; then cxx=c++; fi
here=$source/tests/install
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
for tool in meson pkg-config; do
    if ! command -v $tool >/dev/null; then echo "run.sh: $tool is not on the PATH"; exit 77; fi
done
DESTDIR=$root meson install -C "$build" --no-rebuild --quiet

pc=$(find "$root" -name minitorch.pc | head -n 1)
if [ -z "$pc" ]; then echo "run.sh: no minitorch.pc under $root" >&2; exit 1; fi
PKG_CONFIG_LIBDIR=$(dirname "$pc")
libdir=$(dirname "$PKG_CONFIG_LIBDIR")
LD_LIBRARY_PATH=$libdir
export PKG_CONFIG_LIBDIR LD_LIBRARY_PATH
# The prefix is told, where a sysroot would move the folders of other libraries (CUDA's) along with ours.
prefix=$root$(sed -n 's/^prefix=//p' "$pc")
pc() { pkg-config "--define-variable=prefix=$prefix" "$@"; }
# Flags that find our archives alone, and what other libraries they name where it is.
only_archive() { sed "s|-L$libdir\($\| \)|-L$work/archive |g"; }
warnings="-pedantic -Wall -Wextra -Werror"
flags() { pc --cflags "$@"; }

# compile NAME COMPILER...: builds $work/NAME and runs it.
compile() {
    program=$1
    shift
    echo "$program"
    "$@" -o "$work/$program"
    "$work/$program"
}

# Flags and compilers are lists of words, split on purpose.
# shellcheck disable=SC2046,SC2086
{
    for std in c11 c17; do
        compile "use-$std" $cc -std=$std $warnings "$here/use.c" $(pc --cflags --libs minitorch)
        compile "use-$std-double" $cc -std=$std $warnings "$here/use.c" $(pc --cflags --libs minitorch_d)
    done
    if [ -n "$cxx" ]; then
        compile use-c++17 $cxx -std=c++17 $warnings "$here/use.cpp" $(pc --cflags --libs minitorch)
        compile use-c++17-double $cxx -std=c++17 $warnings "$here/use.cpp" $(pc --cflags --libs minitorch_d)
    else
        echo "not checked: use.cpp, for want of a C++ compiler"
    fi

    # Static: the whole program, and with the archive alone in reach of the linker.
    mkdir "$work/archive"
    echo 'int main(void) { return 0; }' >"$work/empty.c"
    all_static=yes
    $cc -static "$work/empty.c" $(pc --static --libs minitorch | sed 's/-lminitorch//') -o "$work/empty" \
        2>"$work/empty.log" || all_static=no
    if [ $all_static = no ]; then echo "not checked: -static, since $cc cannot: $(head -n 1 "$work/empty.log")"; fi
    cp "$libdir"/libminitorch*.a "$work/archive"
    for library in minitorch minitorch_d; do
        compile "static-$library" $cc -std=c17 $warnings "$here/use.c" $(flags $library) \
            $(pc --static --libs $library | only_archive)
        if [ $all_static = yes ]; then
            compile "all-static-$library" $cc -static -std=c17 $warnings "$here/use.c" \
                $(pc --static --cflags --libs $library)
        fi
    done

    # Both libraries in one program, shared and static.
    $cc -std=c17 $warnings $(flags minitorch) -c "$here/both_float.c" -o "$work/both_float.o"
    $cc -std=c17 $warnings $(flags minitorch_d) -c "$here/both_double.c" -o "$work/both_double.o"
    compile both $cc "$work/both_float.o" "$work/both_double.o" $(pc --libs minitorch minitorch_d)
    compile both-static $cc "$work/both_float.o" "$work/both_double.o" \
        $(pc --static --libs minitorch minitorch_d | only_archive)

    # Headers of one library with the other library: a program that must not link.
    for pair in "minitorch minitorch_d" "minitorch_d minitorch"; do
        set -- $pair
        if $cc -std=c17 "$here/use.c" $(flags $1) $(pc --libs $2) -o "$work/mixed" >"$work/mixed.log" 2>&1; then
            echo "run.sh: headers of $1 link with the library $2" >&2
            exit 1
        fi
        grep -q 'undefined\|Undefined' "$work/mixed.log" || { cat "$work/mixed.log"; exit 1; }
        echo "headers of $1 with the library $2: refused by the linker"
    done

    # Loaded while a program runs, as Python and plugins do it.
    for library in libminitorch.so libminitorch_d.so; do
        python3 -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$libdir/$library"
        echo "$library: loaded by a running program"
    done

    # A program under a sanitizer of its own, which gpu-sim's kernels must leave in place.
    found=no
    if ! $cc -fsanitize=thread "$work/empty.c" -o "$work/empty" 2>"$work/empty.log" ||
        ! "$work/empty" 2>>"$work/empty.log"; then
        echo "not checked: a program's own race, for want of ThreadSanitizer: $(head -n 1 "$work/empty.log")"
    else
        $cc -fsanitize=thread -std=c17 $warnings -g "$here/race.c" $(flags minitorch) \
            $(pc --static --libs minitorch | only_archive) -o "$work/race"
        status=0
        TSAN_OPTIONS=exitcode=66 "$work/race" >"$work/race.log" 2>&1 || status=$?
        if grep -q '^WARNING: ThreadSanitizer: data race' "$work/race.log" &&
            grep -q 'add.*race\.c' "$work/race.log"; then found=yes; fi
        case $status:$found in
        66:yes) echo "a program's own race: found by its ThreadSanitizer" ;;
        3:*) echo "not checked: a program's own race beside gpu-sim: $(head -n 1 "$work/race.log")" ;;
        *) echo "run.sh: a program's own race was not found (exit $status):" >&2; cat "$work/race.log" >&2; exit 1 ;;
        esac
    fi

    # A plugin that holds the archive, loaded and let go of again and again while threads of OpenMP wait.
    $cc -std=c17 $warnings -shared -fPIC $(flags minitorch) "$here/plugin.c" \
        $(pc --static --libs minitorch | only_archive) -o "$work/plugin.so"
    python3 - "$work/plugin.so" <<'PY'
import ctypes, _ctypes, sys
for _ in range(50):
    plugin = ctypes.CDLL(sys.argv[1])
    if plugin.plugin_run() != 0: sys.exit("plugin.so: a product failed")
    _ctypes.dlclose(plugin._handle)
print("plugin.so: loaded and unloaded 50 times")
PY

    # A backend of somebody else's: the page's, with the headers and the run_fast that are installed.
    awk '/The file `mine\.c`:$/ { found = 1 } found && /^```$/ { exit } inside { print } found && /^```c$/ { inside = 1 }' \
        "$source/docs/extending.md" >"$work/mine.c"
    for library in minitorch minitorch_d; do
        $cc -std=c17 $warnings -shared -fPIC "$work/mine.c" $(flags $library) -o "$work/mine.so"
        status=0
        "$root$(pkg-config --variable=prefix minitorch)/bin/run_fast" --backend "$work/mine.so" --hidden 4 --epochs 1 --quiet \
            >"$work/mine.log" 2>&1 || status=$?
        case $library:$status in
        minitorch:0 | minitorch_d:1) echo "mine.so with $library: $(cat "$work/mine.log")" ;;
        *) echo "run.sh: run_fast --backend mine.so of $library ends with $status:" >&2; cat "$work/mine.log" >&2; exit 1 ;;
        esac
    done
    for header in plan.h scalar/map_ops.h scalar/needs.h scalar/philox.h scalar/random_ops.h scalar/scalar_math.h \
        scalar/scalar_ops.h scalar/update_ops.h scalar/zip_ops.h; do
        echo "#include <tensor/$header>" >"$work/alone.c"
        $cc -std=c17 $warnings -fsyntax-only "$work/alone.c" $(flags minitorch)
        if [ -n "$cxx" ]; then $cxx -x c++ -std=c++17 $warnings -fsyntax-only "$work/alone.c" $(flags minitorch_d); fi
        echo "tensor/$header: compiles alone"
    done

    # The README's example, as it stands there.
    # shellcheck disable=SC2016
    sed -n '/^```c$/,/^```$/p' "$source/README.md" | sed '/^```/d' >"$work/example.c"
    compile readme $cc -std=c17 $warnings "$work/example.c" $(pc --cflags --libs minitorch)
}
