#!/usr/bin/env python3
"""What the pages say is what happens: applies docs/extending.md to a copy of the tree, builds it and runs every program.

    test_extending.py SOURCE-ROOT BUILD-ROOT CC...

1. Code that stands behind "In `FILE`, below the line that begins with `TEXT`:" goes into a copy of the tree, which lies in
a new directory under BUILD-ROOT and is removed at the end; without what "Then run `tools/NAME.py`" does then, a build must
fail with a sentence that says so. 2. The copy's double library and its gradient test are built; the test must pass, also
on a new instruction set where the processor has it, and a new row's loop must be vector code. 3. Every C block with a main,
in README.md and docs/*.md, is compiled with every warning an error and run; it must succeed, and print what a text block
behind "It prints:" shows. The page's backend outside the tree is built against the tree as it is and trained on by
BUILD-ROOT's run_fast. 4. A wrong sign in the new derivative must be found, by the program on the page and by the gradient
test, which shows that both check the new row. 5. A descriptor without its cost must fail the build, with a sentence.
6. Files and names between backticks must be there. Exit 77 (skipped) without Meson.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

COMMAND = re.compile(r"^Then run `(tools/\w+\.py)`", re.M)
INSERTION = re.compile(r"^In `([^`]+)`, below the line that begins with `([^`]+)`:\n\n```(?:c|meson)\n(.*?)^```$", re.M | re.S)
BLOCK = re.compile(r"^```c\n(.*?)^```$(?:\n\nIt prints:\n\n```text\n(.*?)^```$)?", re.M | re.S)
SKIP = {".git", ".venv", ".cache", "__pycache__", "golden"}
NAMED = ("README.md", "docs/design.md", "docs/semantics.md", "docs/extending.md")
MADE = {"project/run_fast"}  # by a build
PLUGIN = re.compile(r"The file `mine\.c`:\n\n```c\n(.*?)^```$", re.M | re.S)
SLOTS = ("map", "zip", "reduce", "matmul")
RIGHT, WRONG = "return g * (r * r);", "return -g * (r * r);"
COST = "    .cost = MT_COST_ARITHMETIC,\n    .examples = linear_examples,\n"  # of linear

problems = []


def check(condition, text):
    if not condition:
        problems.append(text)
        print("FAIL  " + text)
    return condition


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=400,
                          **options)


def must(command, **options):
    done = run(command, **options)
    if done.returncode != 0:
        sys.exit("FAIL  %s\n%s" % (" ".join(command), done.stdout[-6000:]))
    return done.stdout


def read(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def write(path, text):
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)


def copy_tree(source, target):
    """Everything but what a build or a version control system made."""
    def ignore(folder, names):
        return [n for n in names if n in SKIP and not (n == "golden" and folder != os.path.join(source, "tests"))
                or os.path.islink(os.path.join(folder, n)) or os.path.isdir(os.path.join(folder, n, "meson-private"))]
    shutil.copytree(source, target, ignore=ignore)
    os.mkdir(os.path.join(target, "tests", "golden"))  # large, and its files are not compiled here
    for name in os.listdir(os.path.join(source, "tests", "golden")):
        os.symlink(os.path.join(source, "tests", "golden", name), os.path.join(target, "tests", "golden", name))


def apply(tree, page):
    """Makes the insertions of a page; returns the names of the rows and of the instruction sets that were added."""
    found = INSERTION.findall(page)
    for path, start, code in found:
        lines = read(os.path.join(tree, path)).split("\n")
        places = [i for i, line in enumerate(lines) if line.startswith(start)]
        if not check(len(places) == 1, "%s: %d lines begin with %s" % (path, len(places), start)):
            sys.exit(1)
        lines[places[0] + 1:places[0] + 1] = code.rstrip("\n").split("\n")
        write(os.path.join(tree, path), "\n".join(lines))
    print("%d insertions" % len(found))
    added = "".join(code for _, _, code in found)
    return re.findall(r"^MT_(?:MAP|ZIP)\((\w+),", added, re.M), re.findall(r"^ *isa_names \+= '(\w+)'", added, re.M)


def run_commands(meson, tree, out, page):
    """Until they run nothing is compiled, and the build says which it wants."""
    for command in sorted(set(COMMAND.findall(page))):
        done = run([meson, "compile", "-C", out, "minitorch_d:static_library"])
        check(done.returncode != 0 and "run " + command in done.stdout and "Compiling C object" not in done.stdout,
              "a build without %s does not say so\n%s" % (command, done.stdout[-3000:]))
        must([sys.executable, os.path.join(tree, command)])


def configure(meson, tree, compiler):
    out = os.path.join(tree, "build")
    must([meson, "setup", out, tree, "-Dbuildtype=release", "-Dopenmp=disabled", "-Dsim=disabled", "-Dcuda=disabled"],
         env=dict(os.environ, CC=" ".join(compiler)))
    return out


def build(meson, tree, out):
    """The double library and the gradient test."""
    targets = ["minitorch_d:static_library"]
    if has_gradient_test(tree):
        targets.append("test_gradients_double")
    must([meson, "compile", "-C", out] + targets)


def has_gradient_test(tree):
    return "'gradients'" in read(os.path.join(tree, "tests", "meson.build"))


def programs(tree):
    """(page, line, code, expected output or None) of every C block with a main."""
    for path in ["README.md"] + sorted("docs/" + n for n in os.listdir(os.path.join(tree, "docs")) if n.endswith(".md")):
        text = read(os.path.join(tree, path))
        for block in BLOCK.finditer(text):
            if re.search(r"^int main\(", block.group(1), re.M):
                yield path, text.count("\n", 0, block.start()) + 1, block.group(1), block.group(2)


def run_program(tree, out, compiler, place, code, expected):
    source, program = os.path.join(tree, "program.c"), os.path.join(tree, "program")
    write(source, code)
    made = run(compiler + ["-std=c17", "-pedantic", "-Wall", "-Wextra", "-Werror", "-DMT_DOUBLE", "-I" + tree, "-I" + out, source,
                           os.path.join(out, "libminitorch_d.a"), "-lm", "-ldl", "-pthread", "-rdynamic", "-o", program])
    if made.returncode != 0:
        return "%s: the compiler refuses it\n%s" % (place, made.stdout)
    done = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, cwd=tree)
    if done.returncode != 0:
        return "%s: ends with %d and prints\n%s" % (place, done.returncode, done.stdout)
    if expected is not None and done.stdout != expected:
        return "%s: prints\n%swhere the page has\n%s" % (place, done.stdout, expected)
    return None


def check_slots(tree):
    """The table of slots on the page is made of the rows of slots.inc."""
    rows = re.findall(r'^MT_SLOT\((\w+), .*?, (\w+), \(.*?\),\n +"((?:[^"\\]|\\.)*)"\)$',
                      read(os.path.join(tree, "tensor", "slots.inc")), re.M)
    page = read(os.path.join(tree, "docs", "extending.md"))
    for need, name, text in rows:
        line = "| `%s` | %s | %s |" % (name, need.lower(), text.replace('\\"', '"'))
        check("\n%s\n" % line in page, "docs/extending.md lacks the row of tensor/slots.inc: " + line)
    there = len(re.findall(r"^\| `\w+` \| (?:memory|work|note) \|", page, re.M))
    check(rows and there == len(rows), "docs/extending.md has %d slots, tensor/slots.inc %d" % (there, len(rows)))


def make_plugin(compiler, code, target, includes, flags):
    source = os.path.splitext(target)[0] + ".c"
    write(source, code)
    return run(compiler + ["-std=c17", "-pedantic", "-Wall", "-Wextra", "-O2", "-shared", "-fPIC", *flags,
                           *("-I" + folder for folder in includes), source, "-o", target])


def check_slot_by_slot(build_root, plugin):
    """The programs that the page names, on the page's backend."""
    for program, options in (("tests/test_elementwise_float", ()), ("tests/test_reduce_float", ()),
                             ("tests/test_matmul_float", ()), ("bench/gpu_slots", ("--backend", plugin))):
        path = os.path.join(build_root, program)
        if not os.path.exists(path):
            print("not checked: %s, which this build does not have" % program)
            continue
        done = run([path, *options], env=dict(os.environ, MT_TEST_BACKENDS="simple," + plugin, MT_TEST_SMALL="1"))
        check(done.returncode == 0, "%s does not agree with mine.so\n%s" % (program, done.stdout[-3000:]))


def check_plugin(source, work, run_fast, compiler, code):
    """Trains on the page's backend, whole and with each slot alone, which must be called and give what simple gives."""
    def train(backend):
        return subprocess.run([run_fast, "--backend", backend, "--unfused", "--quiet", "--hidden", "8", "--epochs", "12"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, cwd=work)

    expected = train("simple").stdout
    check(expected.count("\n") == 3, "run_fast --backend simple prints\n" + expected)
    for alone in (None,) + SLOTS:
        text, name = code, "mine.so of " + (alone or "every slot")
        for slot in SLOTS:
            line = "    .%s = %s,\n" % (slot, slot)
            check(text.count(line) == 1, "docs/extending.md has no line" + line)
            text = text if alone in (None, slot) else text.replace(line, "")
        made = make_plugin(compiler, text, os.path.join(work, "mine.so"), [source],
                           ["-Werror"] if alone is None else ["-Wno-unused-function", "-Wno-unused-const-variable"])
        if not check(made.returncode == 0, "%s: the compiler refuses it\n%s" % (name, made.stdout)):
            continue
        done = train("./mine.so")
        check(done.returncode == 0 and done.stdout == expected,
              "%s: prints\n%s%s\nwhere simple prints\n%s" % (name, done.stdout, done.stderr, expected))
        if alone is None:
            check_slot_by_slot(os.path.dirname(os.path.dirname(run_fast)), os.path.join(work, "mine.so"))
            continue
        text, count = re.subn(r"(static mt_status %s\(.*\)\n\{\n)" % alone,
                              r'\1    if (backend) return mt_fail(MT_ERR_VALUE, "%s was called");\n' % alone, text)
        made = make_plugin(compiler, text, os.path.join(work, "mine.so"), [source], ["-w"])
        done = train("./mine.so")
        check(count == 1 and made.returncode == 0 and done.returncode == 1 and "%s was called" % alone in done.stderr,
              "%s: it is not called\n%s%s%s" % (name, made.stdout, done.stdout, done.stderr))


def check_vector_code(out, rows):
    """On x86-64 a row's loop must use whole vectors of its instruction set."""
    kernels = glob.glob(os.path.join(out, "libminitorch_d_avx2.a.p", "*map_rows.c.o"))
    objdump = shutil.which("objdump")
    if len(kernels) != 1 or not objdump:
        print("not checked: vector code, for want of %s" % ("AVX2 kernels" if objdump else "objdump"))
        return
    for name in rows:
        text = must([objdump, "-d", "--no-show-raw-insn", "--disassemble=value_" + name, kernels[0]])
        check(re.search(r"vdivpd .*%ymm", text), "value_%s holds no division of whole vectors" % name)


def check_sets(tree, out, sets):
    """A new instruction set's kernels are compiled, with registers that AVX2 lacks and no wider ones, and compute."""
    for name in sets:
        kernels = glob.glob(os.path.join(out, "libminitorch_d_%s.a.p" % name, "*gemm_kernel.c.o"))
        objdump = shutil.which("objdump")
        if len(kernels) != 1 or not objdump:
            print("not checked: %s, for want of %s" % (name, "such kernels on this processor" if objdump else "objdump"))
            continue
        text = must([objdump, "-d", "--no-show-raw-insn", kernels[0]])
        check(re.search(r"vfmadd.*%ymm(1[6-9]|2\d|3[01])", text), "%s: products use 16 registers at most" % name)
        check(not re.search(r"vfmadd.*%zmm", text), "%s: products use vectors of 512 bits" % name)
        if has_gradient_test(tree):
            done = run_gradient_test(out, MT_ISA=name)
            print("not run: %s, which this processor lacks" % name if done.returncode == 77 else "%s: compiled and run" % name)
            check(done.returncode in (0, 77), "the gradient test fails on %s\n%s" % (name, done.stdout[-3000:]))


def run_gradient_test(out, **settings):
    return run([os.path.join(out, "tests", "test_gradients_double")], env=dict(os.environ, MT_TEST_SEED="1", **settings))


def check_names(tree, out):
    """Paths that begin in a folder of the tree, and names with the library's prefix, that stand between backticks."""
    text = {}
    for folder, folders, names in os.walk(tree):
        folders[:] = [f for f in folders if f not in ("build", "golden")]
        for name in names:
            if name.endswith((".c", ".h", ".inc", ".py", ".build", ".cu", ".cuh", ".cpp")):
                text[name] = read(os.path.join(folder, name))
    words = set(re.findall(r"\b(?:mt|MT)_\w+", "\n".join(text.values())))
    words |= {line.split()[1] for line in read(os.path.join(out, "names.txt")).splitlines()}
    rows = re.findall(r"^MT_(?:MAP|ZIP)\((\w+),", text["map_table.inc"] + text["zip_table.inc"], re.M)
    words |= {prefix + row for row in rows for prefix in ("MT_OP_", "mt_f_", "mt_d_", "mt_da_", "mt_db_")}
    tops = {name for name in os.listdir(tree) if os.path.isdir(os.path.join(tree, name))} - {"build"}
    count = 0
    for page in NAMED:
        for quoted in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", read(os.path.join(tree, page)), flags=re.M | re.S)):
            path = re.match(r"([\w.]+)/[\w./]*", quoted)
            if path and path.group(1) in tops:
                count += 1
                there = os.path.exists(os.path.join(tree, path.group())) or path.group() in MADE
                check(there, "%s names %s, which is not there" % (page, path.group()))
            for name in re.findall(r"\b(?:mt|MT)_\w*[A-Za-z0-9]\b", quoted):
                count += 1
                check(name in words, "%s names %s, which is not there" % (page, name))
    print("%d files and names of the pages" % count)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    source, build_root, compiler = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3:]
    meson = shutil.which("meson") or shutil.which(os.path.join(source, ".venv", "bin", "meson"))
    if not meson:
        print("skipped: Meson is not on the PATH")
        return 77
    start = time.monotonic()

    def stage(name):
        print("%5.1f s  %s" % (time.monotonic() - start, name), flush=True)

    with tempfile.TemporaryDirectory(dir=build_root, prefix="extending-") as work:
        tree = os.path.join(work, "tree")
        copy_tree(source, tree)
        page = read(os.path.join(tree, "docs", "extending.md"))
        rows, sets = apply(tree, page)
        check(rows, "docs/extending.md adds no row to the table")
        check(sets, "docs/extending.md adds no instruction set")
        out = configure(meson, tree, compiler)
        run_commands(meson, tree, out, page)
        build(meson, tree, out)
        stage("built")
        plugin = PLUGIN.search(read(os.path.join(tree, "docs", "extending.md")))
        if check(plugin, "docs/extending.md has no mine.c"):
            check_plugin(source, work, os.path.join(build_root, "project", "run_fast"), compiler, plugin.group(1))
            made = make_plugin(compiler, plugin.group(1), os.path.join(tree, "mine.so"), [tree, out], ["-DMT_DOUBLE", "-Werror"])
            check(made.returncode == 0, "mine.c in double: " + made.stdout)
        stage("a backend outside the tree")
        found = list(programs(tree))
        for path, line, code, expected in found:
            wrong = run_program(tree, out, compiler, "%s:%d" % (path, line), code, expected)
            check(not wrong, wrong)
        check(len(found) >= 6, "only %d programs were found" % len(found))
        stage("%d programs" % len(found))
        check_vector_code(out, rows)
        check_sets(tree, out, sets)
        if has_gradient_test(tree):
            done = run_gradient_test(out)
            check(done.returncode == 0, "the gradient test fails\n" + done.stdout[-3000:])
        check_names(tree, out)
        check_slots(source)
        stage("checked")

        functions = os.path.join(tree, "tensor", "scalar", "map_ops.h")
        text = read(functions)
        check(text.count(RIGHT) == 1, "%d places of %s" % (text.count(RIGHT), RIGHT))
        write(functions, text.replace(RIGHT, WRONG))
        build(meson, tree, out)
        using = [p for p in found if any("mt_%s(" % name in p[2] for name in rows)]
        wrong = run_program(tree, out, compiler, "wrong sign", using[0][2], None) if using else None
        check(wrong and "gradcheck: input 0" in wrong, "gradcheck does not see a wrong sign")
        if has_gradient_test(tree):
            done = run_gradient_test(out)
            check(done.returncode != 0 and rows[0] in done.stdout,
                  "the gradient test does not see a wrong sign in %s\n%s" % (rows[0], done.stdout[-3000:]))
        else:
            print("not checked: the gradient test, which tests/meson.build does not name")
        stage("a wrong sign is seen")

        source = os.path.join(tree, "autodiff", "products.c")
        text = read(source)
        check(text.count(COST) == 1, "%d places of %s" % (text.count(COST), COST))
        write(source, text.replace(COST, COST.split("\n")[1] + "\n"))
        done = run([meson, "compile", "-C", out, "operations_checked"])
        check(done.returncode != 0 and "\nlinear: .cost is MT_COST_UNKNOWN" in done.stdout,
              "a descriptor without .cost does not fail the build\n" + done.stdout[-3000:])
        stage("a field that is missing fails the build")
    print("%d problems" % len(problems))
    return 1 if problems else 0


sys.exit(main())
