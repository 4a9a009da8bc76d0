#!/usr/bin/env python3
"""Writes the declarations of operations, and the list autodiff/operations.inc, from the operations' code and table.

    declare_operations.py [--check] [ROOT]

In operations.h, what stands between a line "/* from FILE.c */" and the next "/* to here */" is made: for each descriptor
(const mt_operation mt_operation_NAME) of that file, in its order, a comment with the name, the formula and the comment
above the functions that follow the descriptor, and their declarations. operations.inc lists the same descriptors. In
tensor/elementwise_ops.h and autodiff/elementwise.h the same is made "from op_table.inc", for each row. --check writes nothing,
and fails when a file is not as it would be written; the build runs it.
"""
import os
import re
import sys
import textwrap

WIDTH = 106
DESCRIPTOR = re.compile(r"^const mt_operation mt_operation_(\w+) = \{(.*?)^\};", re.MULTILINE | re.DOTALL)
FUNCTION = re.compile(r"(?:^/\*((?:(?!\*/).)*)\*/\n)?^(mt_tensor \*mt_\w+\([^{;]*?\))\s*\{", re.MULTILINE | re.DOTALL)
ROW = re.compile(r'^MT_(MAP|ZIP)\((\w+),\s*[012](?:\(([\w, ]+)\))?,.*?"((?:[^"\\]|\\.)*)"\)$', re.MULTILINE)
TABLE_PART = re.compile(r"(.*^/\* from op_table.inc \*/\n).*(^/\* to here \*/\n.*)", re.MULTILINE | re.DOTALL)
# Of a row: what stands before its name, and its first parameters.
ROWS = {
    "tensor/elementwise_ops.h": (
        "MT_ROW_API mt_status mt_op_",
        {"MAP": "mt_tensor *out, const mt_tensor *x", "ZIP": "mt_tensor *out, const mt_tensor *a, const mt_tensor *b"},
    ),
    "autodiff/elementwise.h": (
        "MT_ROW_API mt_tensor *mt_",
        {"MAP": "mt_tape *tape, mt_tensor *x", "ZIP": "mt_tape *tape, mt_tensor *a, mt_tensor *b"},
    ),
}
LIST_TOP = """/* autodiff/operations.inc - the operations that are no row of op_table.inc, in the order of
 * docs/operations.md. Each is a constant mt_operation_NAME of operation.h, which stands beside its code. A
 * file includes this after defining MT_OPERATION(name), which is undefined at the end. Made by
 * tools/declare_operations.py.
 */
/* clang-format off */
"""
LIST_END = "/* clang-format on */\n#undef MT_OPERATION\n"


def words(text):
    """Text without line breaks and the stars of a comment."""
    return " ".join(re.sub(r"\n \*", "\n", text).split())


def comment(text):
    lines = textwrap.wrap(text, WIDTH - 6, break_long_words=False, break_on_hyphens=False)
    return "/* " + "\n * ".join(lines) + " */\n"


def declaration(text):
    """A function's head as clang-format sets it: as many parameters in a line as fit."""
    head, parameters = re.fullmatch(r"(.*?\()(.*)\)", words(text)).groups()
    lines, indent = [head], " " * len(head)
    for i, parameter in enumerate(parameters.split(", ")):
        piece = parameter + (")" + ";" if i == parameters.count(", ") else ",")
        space = "" if lines[-1] in (head, indent) else " "
        if len(lines[-1] + space + piece) > 110:
            lines.append(indent + piece)
        else:
            lines[-1] += space + piece
    return "\n".join(lines) + "\n"


def descriptors(text, path):
    """(name, formula, note, functions) of each descriptor of a file."""
    found = list(DESCRIPTOR.finditer(text))
    for i, match in enumerate(found):
        name = match.group(1)
        formula = re.search(r'\.formula =\s*((?:"(?:[^"\\]|\\.)*"\s*)+)', match.group(2))
        if not formula:
            sys.exit("%s: the descriptor of %s has no .formula" % (path, name))
        formula = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', formula.group(1)))
        own = FUNCTION.findall(text)
        own = [(note, head) for note, head in own if re.match(r"mt_tensor \*mt_%s(_dims?|_with|_weighted)?\(" % name, head)]
        if not own:
            sys.exit("%s: there is no function mt_%s beside its descriptor" % (path, name))
        yield name, formula, " ".join(words(note) for note, _ in own if note), [head for _, head in own]


def made(root):
    """The two files as they should be: {path: text}."""
    header_path, list_path = (os.path.join(root, "autodiff", name) for name in ("operations.h", "operations.inc"))
    with open(header_path, encoding="utf-8") as stream:
        header = stream.read()
    listed = LIST_TOP

    def part(match):
        nonlocal listed
        path = os.path.join(root, "autodiff", match.group(2))
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        result = ""
        listed += "/* %s */\n" % match.group(2)
        for name, formula, note, functions in descriptors(text, path):
            result += comment("%s: %s%s" % (name, formula, ". " + note if note else ""))
            result += "".join(declaration("MT_API " + function) for function in functions)
            listed += "MT_OPERATION(%s)\n" % name
        return match.group(1) + result + match.group(3)

    header = re.sub(r"(^/\* from (\w+\.c) \*/\n).*?(^/\* to here \*/\n)", part, header, flags=re.MULTILINE | re.DOTALL)
    return {header_path: header, list_path: listed + LIST_END, **made_of_rows(root)}


def made_of_rows(root):
    table = ""
    for name in ("map_table.inc", "zip_table.inc"):
        with open(os.path.join(root, "tensor", "scalar", name), encoding="utf-8") as stream:
            table += stream.read()
    rows = ROW.findall(table)
    if len(rows) != len(re.findall(r"^MT_(?:MAP|ZIP)\(", table, re.MULTILINE)):
        sys.exit("map_table.inc or zip_table.inc: a row is not as its first lines say; these are: %s" % " ".join(row[1] for row in rows))
    result = {}
    for name_of_header, (start, parameters) in ROWS.items():
        text = ""
        for kind, name, constants, formula in rows:
            more = "".join(", double " + constant.strip() for constant in constants.split(",") if constant)
            text += comment("%s: %s" % (name, formula)) + declaration("%s%s(%s%s)" % (start, name, parameters[kind], more))
        path = os.path.join(root, *name_of_header.split("/"))
        with open(path, encoding="utf-8") as stream:
            top, end = TABLE_PART.fullmatch(stream.read()).groups()
        result[path] = top + text + end
    return result


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--check"]
    root = arguments[0] if arguments else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    stale = []
    for path, text in made(root).items():
        with open(path, encoding="utf-8") as stream:
            if stream.read() == text:
                continue
        stale.append(os.path.relpath(path, root))
        if "--check" not in sys.argv:
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)
    if stale and "--check" in sys.argv:
        sys.exit("%s: not as the operations' code and table say; run tools/declare_operations.py" % " and ".join(stale))


if __name__ == "__main__":
    main()
