#!/usr/bin/env python3
"""Writes a C file with a call of every public function, for tests/test_api.c.

    make_api_calls.py OUT.c HEADER... -- CC [FLAG...]

Each declaration that the preprocessor marks MT_SCAN_API (tensor/base.h) becomes a row { name, kinds, call }. kinds has a
letter for each parameter: x a tensor, l a list of tensors, p another pointer, . a value. The call takes each argument from
test_api.h by the parameter's type and name; a type that is not in the table below is an error, so that a new function
cannot be left out of the test.
"""
import os
import re
import subprocess
import sys

ATTRIBUTE = re.compile(r"\b__attribute__\s*\(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\)")
# Of pointers: the kind and the argument; @ is the parameter's number.
POINTERS = {
    "mt_tensor *": ("x", 'api_tensor(@, "%s")'), "mt_tensor *const *": ("l", "api_list(@)"), "mt_tensor **": ("p", "api_parts(@)"), "mt_tape *": ("p", "api_tape(@)"),
    "mt_backend *": ("p", "api_backend(@)"), "mt_rng *": ("p", "api_rng(@)"), "FILE *": ("p", "api_stream(@)"),
    "mt_module *": ("p", 'api_module(@, "%s")'), "mt_optimizer *": ("p", "api_optimizer(@)"),
    "mt_dataset *": ("p", "api_dataset(@)"), "mt_batches *": ("p", "api_batches(@)"), "mt_layout *": ("p", "api_layout(@)"),
    "mt_function *": ("p", "api_function(@)"), "mt_operation *": ("p", "api_operation(@)"), "mt_forward_fn": ("p", "api_forward(@)"),
    "mt_gradcheck_fn": ("p", "api_checked(@)"), "mt_step *": ("p", "api_step(@)"), "mt_loss_fn": ("p", "api_loss(@)"),
    "void (*)(void *)": ("p", "api_release(@)"), "char *": ("p", "api_text(@)"),
}  # fmt: skip
MEMORY = ("float *", "double *", "int64_t *", "int *", "void *", "mt_shape *", "mt_attribute *", "mt_tensor **")
VALUES = {
    "mt_shape": 'api_shape("%s")', "mt_op": 'api_op("!")', "mt_kind": "MT_REAL", "mt_status": "MT_ERR_IO", "mt_init": "MT_INIT_MINITORCH", "mt_loss_reduction": "MT_LOSS_MEAN",
    "mt_dataset_kind": "MT_DATASET_XOR", "mt_rng": "mt_rng_make(1)", "mt_tape_position": "api_position()",
    "mt_allocator": "(mt_allocator){0}", "mt_update_rule": "MT_UPDATE_sgd", "mt_schedule": "mt_schedule_constant()",
    "double": "0.5", "_Bool": "0", "size_t": "16", "int": "1", "int64_t": "api_integer(\"%s\")", "uint64_t": "4",
}  # fmt: skip


def fail(text):
    sys.exit("make_api_calls.py: " + text)


def declarations(compiler, headers):
    source = "".join('#include "%s"\n' % os.path.abspath(header) for header in headers)
    done = subprocess.run(compiler + ["-E", "-P", "-DMT_SCAN_NAMES", "-x", "c", "-"], input=source, capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        fail("the preprocessor failed: %s" % done.stderr)
    found = {}
    for part in re.split(r"MT_SCAN_(?:API|ROW)\b", done.stdout)[1:]:
        text = " ".join(ATTRIBUTE.sub(" ", part.split(";")[0]).split())
        match = re.fullmatch(r"(.*?)\b(mt_\w+) ?\((.*)\)", text)
        if not match:
            fail("no function: %s" % text[:100])
        found[match.group(2)] = (match.group(1).strip(), parameters(match.group(3)))
    return found


def parameters(text):
    depth, start, parts = 0, 0, []
    for i, c in enumerate(text + ","):
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    result = []
    for part in parts:
        if part in ("void", "..."):
            continue
        call = re.fullmatch(r"void \(\*(\w+)\)\(void \*\w*\)", part)
        array = re.fullmatch(r"char (\w+)\[\d+\]", part)
        plain = re.fullmatch(r"(.*?)(\w+)", part)
        if call:
            result.append(("void (*)(void *)", call.group(1)))
        elif array:
            result.append(("char *", array.group(1)))
        else:
            result.append((re.sub(r"^const ", "", plain.group(1).strip()), plain.group(2)))
    return result


def argument(function, number, kind, name):
    if kind in POINTERS:
        letter, text = POINTERS[kind]
    elif kind in MEMORY:
        letter, text = "p", "api_memory(@)"
    elif kind in VALUES:
        letter, text = ".", VALUES[kind]
    elif kind.endswith("_options"):
        letter, text = ".", kind.replace("_options", "_defaults()")
    else:
        fail("%s: the type '%s' of %s is not in the table" % (function, kind, name))
    return letter, text.replace("@", str(number)).replace("%s", name).replace("!", function)


def result(kind, call):
    if kind == "void":
        return "%s;\n    api_value();" % call
    if kind == "mt_status":
        return "api_status(%s);" % call
    if kind.endswith("*"):
        return "api_pointer(%s);" % call
    return "(void)%s;\n    api_value();" % call


def main():
    split = sys.argv.index("--")
    out, headers, compiler = sys.argv[1], sys.argv[2:split], sys.argv[split + 1 :]
    lines, rows = ["/* Made from the declarations by tests/make_api_calls.py. */", '#include "test_api.h"', ""], []
    for name, (kind, params) in sorted(declarations(compiler, headers).items()):
        made = [argument(name, i, *param) for i, param in enumerate(params)]
        call = "%s(%s)" % (name, ", ".join(text for _, text in made))
        if name == "mt_fail":
            call = call[:-1].replace("api_text(1)", '"%s", api_text(1)') + ")"
        lines += ["static void call_%s(void)" % name, "{", "    " + result(kind, call), "}", ""]
        rows.append('    {"%s", "%s", call_%s},' % (name, "".join(letter for letter, _ in made), name))
    lines += ["const api_call api_calls[] = {"] + rows + ["};", "const int api_count = %d;" % len(rows), ""]
    with open(out, "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines))


if __name__ == "__main__":
    main()
