#!/usr/bin/env python3
"""Writes the headers that rename mt_* to mtd_* in the double library, and the list of what the library exports.

    double_names.py [--header OUT.h] [--rows OUT.h] [--list OUT.txt] [--public] --headers FILE... -- CC [FLAG...]

The compiler only preprocesses: with -DMT_SCAN_NAMES every declaration of a function or an object that has external
linkage starts with MT_SCAN_API, MT_SCAN_ROW or MT_SCAN_INTERNAL (tensor/base.h), also those that macros and op_table.inc
expand to. The rows go into a header of their own, which only the elementwise headers include, so that a new one changes nothing else.
Types and function-like macros carry no mark and keep their names. --public leaves the internal names out: these are the
headers that are installed. The list has one line for each name, "api mt_add" or "internal mt_alloc", sorted.
"""
import argparse
import os
import re
import subprocess
import sys

MARK = re.compile(r"\bMT_SCAN_(API|ROW|INTERNAL)\b")
ATTRIBUTE = re.compile(r"\b__attribute__\s*\(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\)")


def declared_name(text):
    """The identifier that the declaration at the start of text declares, or None."""
    end = re.search(r"[;{]", text)
    declaration = ATTRIBUTE.sub(" ", text[: end.start()] if end else text)
    pointer = re.match(r"[^()]*\(\s*\*\s*(\w+)\s*[()\[]", declaration)  # a function that returns a function, or an object
    function = re.match(r"[^()=]*?\b(\w+)\s*\(", declaration)
    data = re.match(r"[^()=\[]*?\b(\w+)\s*(?:[=\[]|$)", declaration)
    found = pointer or function or data
    return found.group(1) if found else None


def scan(compiler, headers):
    source = "".join('#include "%s"\n' % os.path.abspath(h).replace("\\", "/") for h in headers)
    command = compiler + ["-E", "-P", "-DMT_SCAN_NAMES", "-x", "c", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit("double_names.py: the preprocessor failed: %s\n%s" % (" ".join(command), done.stderr))
    names = {}
    for mark in MARK.finditer(done.stdout):
        rest = done.stdout[mark.end() :]
        name = declared_name(rest[:4000])
        if not name or not name.startswith("mt_"):
            first = " ".join(rest.split())[:100]
            sys.exit("double_names.py: no name with the prefix mt_ in the marked declaration: %s" % first)
        kind = mark.group(1).lower()
        if names.setdefault(name, kind) != kind:
            sys.exit("double_names.py: %s is declared with two different marks" % name)
    if not names:
        sys.exit("double_names.py: no declaration is marked; has tensor/base.h changed?")
    return names


def write(path, text):
    """Leaves the file alone when nothing changed, so that nothing is compiled again."""
    try:
        with open(path, encoding="utf-8") as old:
            if old.read() == text:
                return
    except OSError:
        pass
    with open(path + ".tmp", "w", encoding="utf-8", newline="\n") as new:
        new.write(text)
    os.replace(path + ".tmp", path)


def write_header(path, names):
    file = os.path.basename(path)
    guard = re.sub(r"\W", "_", file).upper()
    lines = ["/* %s - generated from the declarations by tools/double_names.py: the double library's symbols. */" % file,
             "#ifndef " + guard, "#define " + guard, ""]
    lines += ["#define %s mtd_%s" % (name, name[3:]) for name in sorted(names)]
    write(path, "\n".join(lines + ["", "#endif", ""]))


def main():
    parser = argparse.ArgumentParser(description="Write the rename headers of the double library.")
    parser.add_argument("--header")
    parser.add_argument("--rows")
    parser.add_argument("--list")
    parser.add_argument("--public", action="store_true")
    parser.add_argument("--headers", nargs="+", required=True)
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments = parser.parse_args(sys.argv[1:split])
    compiler = sys.argv[split + 1 :]
    if not compiler:
        parser.error("the compiler's command is missing behind --")

    names = scan(compiler, arguments.headers)
    plain = ("api",) if arguments.public else ("api", "internal")
    if arguments.header:
        write_header(arguments.header, [name for name in names if names[name] in plain])
    if arguments.rows:
        write_header(arguments.rows, [name for name in names if names[name] == "row"])
    if arguments.list:
        write(arguments.list, "".join("%s %s\n" % (names[name].replace("row", "api"), name) for name in sorted(names)))


if __name__ == "__main__":
    main()
