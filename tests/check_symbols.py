#!/usr/bin/env python3
"""Checks what the built libraries show to a linker, and what they ask of the C library.

    check_symbols.py --nm NM --readelf READELF --names NAMES.txt --shared F --shared-double F --static F
                     --static-double F [--instrumented] [--debug]

1. The shared libraries export the functions that are marked MT_API, with mtd_ for mt_ in the double one: no more, no
   less. 2. Every global symbol of a static library is marked, MT_API or MT_INTERNAL, and has the prefix; so the two
   libraries share none, and one program can link both. 3. Nothing runs before main or at exit. 4. The library never
   exits, prints to a stream it was not given or handles a signal; only tensor/alloc.c asks the system for memory, only
tensor/status.c, which warns, names stderr, and only tensor/plugin.c loads a shared object.
The CUDA twins and the simulator are C++: their objects may have C++'s own start-up code (nvcc's registers the kernels
before main, which is how CUDA finds them; C++'s makes objects such as a lock), weak symbols of C++'s templates, and names
of the simulator's own, which is the same in both static libraries; what else they define must be a launcher named for its
precision. 5. Nothing in an archive has or needs a name of ThreadSanitizer's, though the kernels are compiled with its
hooks: these functions are a program's own.
--instrumented leaves out 3 and 4, for sanitizers and coverage, which add such things; --debug allows assert to abort.
"""
import argparse
import collections
import re
import subprocess
import sys

NEVER = {
    "exit", "_exit", "_Exit", "quick_exit", "abort", "atexit", "on_exit", "__cxa_atexit", "at_quick_exit",
    "signal", "sigaction", "printf", "puts", "putchar", "perror", "stdout", "vprintf", "__printf_chk",
    "__vprintf_chk", "setenv", "putenv", "srand", "rand", "omp_set_num_threads", "omp_set_dynamic", "omp_set_schedule",
}  # fmt: skip
MEMORY = {"malloc", "calloc", "realloc", "free", "aligned_alloc", "posix_memalign", "memalign", "strdup", "strndup",
          "mmap", "reallocarray"}
LOADING = {"dlopen", "dlsym", "dlclose", "dlerror"}
OWNERS = {"stderr": "tensor_status.c", **dict.fromkeys(MEMORY, "tensor_alloc.c"),
          **dict.fromkeys(LOADING, "tensor_plugin.c")}  # who alone may use what
# Objects of ops_cuda that a C++ compiler or nvcc made: sim_map_minitorch.o, gpu_map_minitorch.o, ..._sim_hooks.cpp.o.
TWIN = re.compile(r"(^|[\\/(])(sim|gpu)_\w+\.o$|\.cpp\.o$")
# What they may define: the simulator's names, nvcc's (whose stubs have a hash of the file in them), and C++'s templates and
# what clang calls where a noexcept is broken, which are weak and which every program that uses them defines alike.
TWIN_NAMES = re.compile(r"mt_sim_|_ZNK?6mt_sim|_ZNK?3sim10mt_vectors|_Z\d+__device_stub__ZN4cuda|__cuda|__fatbin")
TWIN_WEAK = re.compile(r"_Z|DW\.ref|__clang_call_terminate$")
ASSERT = {"__assert_fail", "__assert_rtn", "__assert"}


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit("check_symbols.py: %s failed: %s" % (" ".join(command), done.stderr.strip()))
    return done.stdout


def read_names(path):
    names = {"api": set(), "internal": set()}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            kind, name = line.split()
            names[kind].add(name)
    return names


def exported(nm, path):
    """Defined dynamic symbols of a shared library."""
    lines = run([nm, "-D", "--defined-only", "-P", path]).splitlines()
    return {line.split()[0].split("@")[0] for line in lines if line.strip()}


def archive_symbols(nm, path):
    """[(object, name, type)] of the global symbols of a static library; type U or w: asked for, not defined."""
    symbols, member = [], "?"
    for line in run([nm, "-g", "-P", path]).splitlines():
        header = re.match(r".*\[(.+)\]:$", line)
        if header:
            member = header.group(1)
        elif line.strip():
            fields = line.split()
            symbols.append((member, fields[0], fields[1]))
    return symbols


def show(problems, text, names):
    if names:
        problems.append("%s: %s" % (text, ", ".join(sorted(names))))


def main():
    parser = argparse.ArgumentParser(description="Check the symbols of the built libraries.")
    for option in ("nm", "readelf", "names", "shared", "shared-double", "static", "static-double"):
        parser.add_argument("--" + option, required=True)
    parser.add_argument("--instrumented", action="store_true")
    parser.add_argument("--debug", action="store_true")
    arguments = parser.parse_args()
    names = read_names(arguments.names)
    problems = []
    defined = {}

    for prefix, shared, static in (("mt_", arguments.shared, arguments.static),
                                   ("mtd_", arguments.shared_double, arguments.static_double)):
        api = {prefix + name[3:] for name in names["api"]}
        marked = api | {prefix + name[3:] for name in names["internal"]}
        found = exported(arguments.nm, shared)
        show(problems, "%s exports, but no header marks it MT_API" % shared, found - api)
        show(problems, "%s does not export what a header marks MT_API" % shared, api - found)

        everything = archive_symbols(arguments.nm, static)
        symbols = [symbol for symbol in everything if not TWIN.search(symbol[0])]
        twins = [symbol for symbol in everything if TWIN.search(symbol[0])]
        launchers = {name for _, name, kind in twins if kind not in "Uwv" and not TWIN_NAMES.match(name) and
                     not (kind in "WVu" and TWIN_WEAK.match(name))}
        show(problems, "%s: a twin defines what is neither a launcher of this precision nor marked" % static,
             {name for name in launchers - marked if not re.match(prefix + r"(sim|cuda)_launch_\w+$", name)})
        defined[static] = {name for _, name, kind in symbols if kind not in "Uwv"} | launchers
        show(problems, "%s: a function or object with external linkage has neither MT_API nor MT_INTERNAL" % static,
             {name for name in defined[static] - marked - launchers if not name.startswith(("__odr_asan", "__asan", "__start_",
                                                                                "__stop_", "DW.ref"))})
        double = [n for n, c in collections.Counter(n for _, n, k in symbols if k in "TDBRC").items() if c > 1]
        show(problems, "%s defines twice" % static, double)
        if arguments.instrumented:
            continue
        show(problems, "%s: a twin calls ThreadSanitizer's functions, not the simulator's" % static,
             {name for _, name, kind in twins if name.startswith("__tsan_") and kind == "U"})
        wanted = [(member, name) for member, name, kind in symbols if kind in "Uw"]
        never = NEVER | (set() if arguments.debug else ASSERT)
        show(problems, "%s asks for what a library must not use" % static,
             {"%s (%s)" % (name, member) for member, name in wanted if name in never})
        show(problems, "%s asks for what is another object's to use" % static,
             {"%s (%s, not %s)" % (name, member, OWNERS[name]) for member, name in wanted
              if name in OWNERS and OWNERS[name] not in member})
        sections = set()
        for member in re.split(r"^File: ", run([arguments.readelf, "-SW", static]), flags=re.MULTILINE):
            if not TWIN.search(member.split("\n")[0].rstrip(")")):
                sections |= set(re.findall(r"\s(\.(?:init_array|fini_array|ctors|dtors|preinit_array)\S*)\s", member))
        show(problems, "%s has constructors or destructors, in the sections" % static, sections)

    show(problems, "both static libraries define", set.intersection(*defined.values()))
    for problem in problems:
        print(problem)
    print("%d exported names, %d internal, %d problems" % (len(names["api"]), len(names["internal"]), len(problems)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
