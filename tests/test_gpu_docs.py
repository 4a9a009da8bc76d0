#!/usr/bin/env python3
"""docs/gpu.md says what the simulator says: takes every kernel from the page, runs it, and compares the words.

    test_gpu_docs.py [--update] SOURCE-ROOT BUILD-ROOT --lab PROGRAM LIBRARY --cc CC... --sim COMMAND...

1. A CUDA block with LAB(NAME) or LAB_MATMUL(NAME is compiled as NAME.cu, as project/lab does it, and run; the text block
behind it must be what is printed (blanks and line ends aside). 2. A wrong kernel must be reported under 20 schedules, each
time with the kernel, what is wrong and lines of the first report. 3. "`.../lab ARGUMENTS` prints:" is checked in the same
way with the lab itself. 4. Every kind of fault that ops_cuda/sim/sim.h promises to students is there. 5. A LAB that launches
nothing, or looks at no result, is not called right, and one whose kernel never ends is told; --stats counts one run of a
size, however many there are. LIBRARY holds the lab without kernels. --update writes what was printed into the page instead.
"""
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

KERNEL = re.compile(r"^```cuda\n((?:(?!^```).)*?^LAB(?:_MATMUL)?\((\w+)(?:(?!^```).)*)^```$((?:(?!^```).)*?)^```text\n(.*?)^```$",
                    re.M | re.S)
COMMAND = re.compile(r"^`build/project/lab/lab ([^`\n]*)` prints:\n\n```text\n(.*?)^```$", re.M | re.S)
FAULTS = ("missing_barrier", "off_by_one", "short_mask", "unaligned_float4", "shared_alignment", "uninitialised_shared",
          "divergent_barrier", "race_between_blocks", "overrun", "endless_loop",
          "local_overrun", "unfenced_flag")
SCHEDULES = 20
# LABs that are not right, though nothing in them fails: what is in the braces, and what must be said.
IDLE = {
    "cheat": ("return 0;", "cheat: it launches no kernel, so nothing was tried; use MT_LAUNCH\ncheat: NOT TRIED\n"),
    "unread": ('array<int> x("x", 32, 1);\n    return MT_LAUNCH(unread, dim3(1), dim3(32), 0, 0, x);',
               "unread: its kernels ran and nobody looked at what they wrote; return y.check(...) for an array y\n"
               "unread: NOT TRIED\n"),
}
problems = []


def check(condition, text):
    if not condition:
        problems.append(text)
        print("FAIL  " + text)


def run(command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=240,
                          env={**os.environ, **more})
    return done.returncode, done.stdout


def must(command):
    status, text = run(command)
    if status != 0:
        sys.exit("FAIL  %s\n%s" % (" ".join(command), text[-6000:]))


def read(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def write(path, text):
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)


def words(text):
    return " ".join(text.split())


def wrap(text):
    """One sentence in lines of 110 columns."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > 110:
            lines.append("")
        lines[-1] += " " * bool(lines[-1]) + word
    return "\n".join(lines) + "\n"


def build(source, work, kernels, library, cc, sim):
    """The lab with kernels in it, each in a file of the given name."""
    include = ["-I" + source, "-I" + os.path.join(source, "project", "lab")]
    objects, commands = [], []
    for name, code in kernels:
        write(os.path.join(work, name + ".cu"), code)
        objects.append(os.path.join(work, name + ".o"))
        commands.append(sim + include + ["-Werror", "-DLAB_FILE=" + name, "-c", os.path.join(work, name + ".cu"), "-o", objects[-1]])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(must, commands))
    entries = "".join("lab_entry mt_sim_launch_lab_%s;\n" % name for name, _ in kernels)
    rows = "".join('    {"%s", mt_sim_launch_lab_%s, NULL_ENTRY},\n' % (name, name) for name, _ in kernels)
    table = read(os.path.join(source, "project", "lab", "table.c.in"))
    write(os.path.join(work, "table.c"), table.replace("@DECLARATIONS@", entries).replace("@ROWS@", rows))
    program = os.path.join(work, "lab")
    must(cc + ["-std=c17"] + include + [os.path.join(work, "table.c")] + objects + [library, "-lm", "-lstdc++", "-pthread",
                                                                                 "-o", program])
    return program


def said(output, name):
    """What the page shows of an output: the reports or the verdict, without the lab's own frame."""
    lines = [line for line in output.splitlines() if line and not line.startswith("seed ")]
    reports = [line[len(name) + 2:] for line in lines if line.startswith(name + ": ") and ": WRONG, " not in line]
    return reports[0] if reports else "\n".join(lines)


def fingerprint(report):
    """What every schedule must agree on: kernel, lines, and what is wrong, without numbers."""
    kernel = report.split(":")[0]
    places = frozenset(re.findall(r"\w+\.cu:\d+", report))
    race = "race" in report
    return kernel, places, race, "" if race else words(re.sub(r"\(.*?\)|0x\w+|\d+", "", report))


def check_kernel(program, name, shown):
    first = None
    wrong = name in FAULTS
    for seed in range(1, SCHEDULES + 1):
        less = {} if seed == 1 else {"MT_SIM_FUEL": "1000000"}  # an endless loop is told sooner
        status, output = run([program, name, "--schedules", "1", "--size", "8x8x8", "--seed", str(seed)], **less)
        text = said(output, name)
        if first is None:
            first = text
            check(words(text) == words(shown), "%s: the page has\n%sand the lab says\n%s" % (name, shown, text))
        check(status == (1 if wrong else 0), "%s, schedule %d: ends with %d\n%s" % (name, seed, status, output))
        if wrong:
            check(fingerprint(text) == fingerprint(first), "%s: schedule %d says\n%s\nand schedule 1\n%s" % (name, seed, text, first))
            check(fingerprint(text)[1], "%s, schedule %d: no line is named: %s" % (name, seed, text))
        if problems:
            return first
    return first


EMPTY = '''#include "lab.cuh"
namespace MT_TWIN {
MT_KERNEL void empty(int *x)
{
    if (x) for (;;) {}
}
LAB(empty)
{
    array<int> x("x", 32, 1);
    int status = MT_LAUNCH(empty, dim3(1), dim3(32), 0, 0, x);
    return status ? status : x.check([](int) { return 1; });
}
}
'''


def idle_kernels():
    return [("empty", EMPTY)] + [(name, '#include "lab.cuh"\nnamespace MT_TWIN {\n[[maybe_unused]] MT_KERNEL void %s(int *x) { x[threadIdx.x] = 2; }\n'
             "LAB(%s)\n{\n    %s\n}\n} // namespace MT_TWIN\n" % (name, name, body)) for name, (body, _) in IDLE.items()]


def check_idle(program):
    for name, (_, said_of_it) in IDLE.items():
        status, output = run([program, name])
        check(status == 1 and output == "seed 1, backend gpu-sim\n" + said_of_it, "%s ends with %d and says\n%s" % (name, status, output))


def check_empty(program):
    """A loop without statements: a signal of the lab ends it where gcc calls nothing in it, and fuel where clang does."""
    status, output = run([program, "empty"])
    told = re.search(r"empty: thread \(\d+,0,0\) of block \(0,0,0\) .*(never ends|loop for ever).* at empty\.cu:5", output)
    check(status == 1 and told, "empty ends with %d and says\n%s" % (status, output))


def check_stats(lab):
    """Rows of the table: one for each kernel and size, alike for any number of schedules; few blocks are marked."""
    tables = []
    for schedules in ("1", "3"):
        status, output = run([lab, "naive", "--stats", "--size", "64x64x64,600x600x4", "--schedules", schedules])
        tables.append([line.split() for line in output.splitlines() if re.match(r"naive +\d+x", line)])
        check(status == 0 and "fewer blocks a launch than an H100 has multiprocessors (132)" in output, output)
    check(tables[0] == tables[1] and [row[1:4] for row in tables[0]] == [["64x64x64", "1", "16*"], ["600x600x4", "1", "1425"]],
          "--stats, with 1 and 3 schedules: %s" % tables)


def split(arguments):
    """--lab, --cc and --sim each begin a list."""
    lists = {"": []}
    name = ""
    for argument in arguments:
        if argument in ("--lab", "--cc", "--sim") and argument not in lists:
            name = argument
            lists[name] = []
        else:
            lists[name].append(argument)
    return lists


def main():
    lists = split([a for a in sys.argv[1:] if a != "--update"])
    update = "--update" in sys.argv
    if len(lists[""]) != 2 or len(lists.get("--lab", [])) != 2 or not lists.get("--cc") or not lists.get("--sim"):
        sys.exit(__doc__)
    source, build_root = (os.path.abspath(path) for path in lists[""])
    lab, library = (os.path.abspath(path) for path in lists["--lab"])
    page_path = os.path.join(source, "docs", "gpu.md")
    page = read(page_path)
    kernels = [(m.group(2), m.group(1), m.group(4)) for m in KERNEL.finditer(page)]
    names = [name for name, _, _ in kernels]
    check(len(set(names)) == len(names), "two kernels of the page have one name")
    check(page.count("```cuda\n") == len(kernels), "a CUDA block of the page has no text block behind it, or no LAB")
    for name in FAULTS:
        check(name in names, "the page has no kernel %s" % name)
    listing = read(os.path.join(source, "project", "lab", "meson.build"))
    check("lab_kernels += 'mine.cu'" in listing and "lab_kernels += 'mine.cu'" in page, "the one line is not the one line")
    for shown in COMMAND.finditer(page):
        status, output = run([lab] + shown.group(1).split())
        check(status == 0 and (update or output == shown.group(2)),
              "lab %s prints\n%swhere the page has\n%s" % (shown.group(1), output, shown.group(2)))
        if update:
            page = page.replace(shown.group(0), shown.group(0)[:-len(shown.group(2)) - 3] + output + "```")
    check(COMMAND.search(page), "no command of the page was found")
    check_stats(lab)
    with tempfile.TemporaryDirectory(dir=build_root, prefix="gpu-docs-") as work:
        # "Put any of them into mine.cu": a kernel is called as its file is, whatever LAB calls it.
        elsewhere = [("mine_" + name, code) for name, code, _ in kernels if name == FAULTS[0]]
        program = build(source, work, [k[:2] for k in kernels] + elsewhere + idle_kernels(), library, lists["--cc"], lists["--sim"])
        for name, _ in elsewhere:
            status, output = run([program, name, "--schedules", "1"])
            check(status == 1 and name + ".cu:" in output, "%s: ends with %d\n%s" % (name, status, output))
        check_idle(program)
        check_empty(program)
        for name, code, shown in kernels:
            if update:
                text = said(run([program, name, "--schedules", "1"])[1], name)
                old = "```cuda\n" + code
                start = page.index("```text\n", page.index(old) + len(old)) + 8
                page = page[:start] + wrap(text) + page[page.index("```", start):]
            else:
                check_kernel(program, name, shown)
    if update:
        write(page_path, page)
    print("%d kernels, %d schedules, %d problems" % (len(kernels), SCHEDULES, len(problems)))
    return 1 if problems else 0


sys.exit(main())
