#!/bin/sh
# tests/install/fresh_root.sh - the README's lines about installing, run as they stand there by a system that has neither
# dpkg-dev nor PKG_CONFIG_PATH nor LD_LIBRARY_PATH.
#
#     fresh_root.sh SOURCE-ROOT BUILD-ROOT
#
# 1. Configured there, the libraries go where pkg-config and the loader look: without dpkg-architecture Meson's own choice
# would be lib64, where Debian's do not. 2. What was built is installed and ldconfig run, as the README says, and then its
# compiler lines, each of whose programs must run. The system is this one under an overlay in a mount namespace, so that
# nothing is left behind. Exit 77 (skipped) where that is not permitted.
set -eu
skip() { echo "skipped: fresh_root.sh: $*"; exit 77; }
fail() { echo "fresh_root.sh: $*" >&2; exit 1; }

# ---- in the new root ----

inside() {
    source=$1 build=$2 work=$3
    cd "$work"
    unset PKG_CONFIG_PATH PKG_CONFIG_LIBDIR LD_LIBRARY_PATH DESTDIR
    if command -v dpkg-architecture >/dev/null; then fail "dpkg-architecture is still there"; fi
    meson setup fresh "$source" -Dtests=disabled -Dsim=disabled -Dcuda=disabled >setup.log || { cat setup.log; exit 1; }
    for folder in fresh "$build"; do
        meson introspect --buildoptions "$folder" >options.json
        python3 - "$(pkg-config --variable pc_path pkg-config)" <<'PY' || fail "$folder: pkg-config would not look there"
import json, os, sys
value = {option["name"]: option["value"] for option in json.load(open("options.json"))}
folder = os.path.join(value["prefix"], value["libdir"], "pkgconfig")
print("installs %s" % folder)
sys.exit(value["prefix"] == "/usr/local" and folder not in sys.argv[1].split(":"))
PY
    done
    grep -q '"name": "prefix", "value": "/usr/local"' options.json ||
        skip "the build has a --prefix of its own, and the README's lines are about /usr/local"

    # shellcheck disable=SC2016
    sed -n '/^```c$/,/^```$/p' "$source/README.md" | sed '/^```/d' >example.c
    cp example.c program.c
    ln -s "$build" build
    sed -n 's/^    \(meson install .*\)/\1/p' "$source/README.md" | sed 's/meson install/& --no-rebuild --quiet/' >install
    sed -n 's/^    \(cc .*\)/\1/p' "$source/README.md" >compile
    test "$(wc -l <install)" = 1 || fail "the README has $(wc -l <install) lines that install; one is expected"
    test "$(grep -c minitorch compile)" -ge 4 || fail "the README has lost its compiler lines"
    cat install
    sh -eu install
    echo 'int main(void) { return 0; }' >empty.c
    while read -r line; do
        case $line in
        *-static*)
            if nm "$build/libminitorch.a" 2>/dev/null | grep -q __kmpc_ && ! cc --version | grep -q clang; then
                echo "not checked: $line (the archive is clang's, whose OpenMP cc does not link)"
                continue
            fi
            cc -static empty.c -lgomp 2>/dev/null || { echo "not checked: $line"; continue; }
            ;;
        esac
        echo "$line"
        rm -f a.out
        sh -eu -c "$line" >out 2>log || { cat log; fail "that line failed"; }
        case $line in *./a.out*) ;; *) ./a.out >out ;; esac
        grep '^[[][[] *0[.]1869' out || fail "the program printed: $(cat out)"
    done <compile
}

# ---- making it ----

if [ "$1" = --inside ]; then
    shift
    inside "$@"
    exit 0
fi
if [ "$1" = --namespace ]; then
    source=$2 build=$3 here=$4
    mount -t tmpfs tmpfs "$here" || skip "no tmpfs can be mounted"
    mkdir "$here/upper" "$here/work" "$here/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$here/upper,workdir=$here/work" "$here/root" 2>"$here/log" ||
        skip "no overlay can be mounted: $(cat "$here/log")"
    for folder in /proc /dev "$source" "$build"; do
        mkdir -p "$here/root$folder"
        mount --rbind "$folder" "$here/root$folder" || skip "$folder cannot be mounted again"
    done
    rm -f "$here/root/usr/bin/dpkg-architecture" "$here/root/usr/bin/dpkg-buildflags"
    rm -rf "$here/root/usr/local/include/minitorch"
    find "$here/root/usr/local/lib" "$here/root/usr/local/lib64" -name '*minitorch*' -exec rm -rf {} + 2>/dev/null || true
    mkdir "$here/root/fresh_root"
    status=0
    chroot "$here/root" sh "$source/tests/install/fresh_root.sh" --inside "$source" "$build" /fresh_root || status=$?
    exit $status
fi
if [ "$(uname -s)" != Linux ]; then skip "namespaces are Linux's"; fi
if [ "$(id -u)" != 0 ]; then skip "root is needed"; fi
for tool in unshare chroot meson pkg-config ldconfig cc; do
    command -v $tool >/dev/null || skip "$tool is not on the PATH"
done
unshare -m true 2>/dev/null || skip "no mount namespace is permitted"
here=$(mktemp -d)
trap 'rmdir "$here"' EXIT
status=0
unshare -m sh "$0" --namespace "$1" "$2" "$here" || status=$?
exit $status
