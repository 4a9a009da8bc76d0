#!/usr/bin/env python3
"""Makes seeds of the target `program` from texts: fuzz/programs/NAME.txt becomes fuzz/corpus/program/NAME.

    fuzz/seed.py TEXT...

A line is an instruction by its name in fuzz/calls_*.c ("take rows"), then the bytes of its operands, in the order in which
the instruction reads them; the last is most often the place of the result. "x1.5" is the byte of a number. # begins a remark.
"""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def instructions():
    """Names in the order of their numbers; the first of a name that stands twice is used."""
    names = []
    for group in ("new", "tape", "into", "life"):
        with open(os.path.join(HERE, "calls_%s.c" % group), encoding="utf-8") as source:
            names += re.findall(r'\{"([a-z ]+)", i_\w+\}', source.read())
    return names


def byte_of(word):
    """A byte, or x and a number that fuzz_number (fuzz.c) makes of one: (byte - 118) / 16."""
    byte = round(float(word[1:]) * 16) + 118 if word.startswith("x") else int(word)
    if not 0 <= byte <= 255:
        sys.exit("seed.py: %s is no byte" % word)
    return byte


def assemble(text, names):
    code = bytearray()
    for line in text.split("\n"):
        match = re.fullmatch(r"([a-z ]*[a-z])?\s*((?:x?-?[\d.]+\s*)*)", line.split("#")[0].strip())
        if not match or (match.group(1) or match.group(2)) and match.group(1) not in names:
            sys.exit("seed.py: no instruction: %s" % line)
        if match.group(1):
            code.append(names.index(match.group(1)))
        code += bytes(byte_of(word) for word in match.group(2).split())
    return bytes(code)


def main():
    names = instructions()
    for path in sys.argv[1:] or [sys.exit(__doc__)]:
        with open(path, encoding="utf-8") as source:
            code = assemble(source.read(), names)
        name = os.path.splitext(os.path.basename(path))[0]
        with open(os.path.join(HERE, "corpus", "program", name), "wb") as out:
            out.write(code)


if __name__ == "__main__":
    main()
