#!/usr/bin/env python3
"""Writes composed.inc: values and gradients of operations made of others, computed by PyTorch in double.

    python3 make_composed.py > composed.inc

Each case is one application to x of a few elements, with edge values among them; the cotangent of result element k is
1 + k / 2. tests/test_composed.c applies the same. Made with PyTorch 2.5.1.
"""
import math

import torch

torch.set_default_dtype(torch.float64)
inf, nan = math.inf, math.nan
EVERY = 9  # stands for every dimension

ROWS = [
    [[1.0, -2.0, 0.5], [0.25, 3.0, -1.5]],
    [[0.0, 0.0, 0.0], [-0.0, 2.0, 2.0]],
    [[inf, 1.0, -1.0], [nan, 1.0, 2.0]],
    [[-inf, -inf, -inf], [-inf, 0.5, 700.0]],
    [[-3.0, 3.0, 1.0], [1e-3, -1e-3, 1e3]],
    [[2.0], [-0.5]],
]
MASK = [1.0, 0.0, nan]  # of the last dimension


def dims(x, dim):
    return tuple(range(x.dim())) if dim == EVERY else (dim,)


REDUCED = {
    "logsumexp": ([0.0], lambda x, d, keep, number: torch.logsumexp(x, d, keep)),
    "norm": ([1.0, 2.0, inf], lambda x, d, keep, number: torch.linalg.vector_norm(x, number, d, keep)),
    "std": ([0.0, 1.0], lambda x, d, keep, number: torch.std(x, d, correction=int(number), keepdim=keep)),
    "any": ([0.0], lambda x, d, keep, number: any_of(x, d, keep)),
}


def any_of(x, d, keep):
    for dim in sorted(d, reverse=True):
        x = torch.any(x, dim, keep)
    return x


def number(value):
    if math.isnan(value):
        return "NAN"
    return ("-" if value < 0 else "") + "INFINITY" if math.isinf(value) else repr(float(value))


def case(name, x, dim, keep, real, integer, function):
    x = torch.tensor(x, requires_grad=True)
    y = function(x)
    gradient = torch.zeros_like(x)
    if y.dtype == torch.float64:
        y.backward((1 + torch.arange(y.numel()) / 2.0).reshape(y.shape))
        gradient = x.grad
    fields = [[number(v) for v in t.detach().flatten().tolist()] for t in (x, y, gradient)]
    print('{"%s", {%d, {%s}}, %d, %s, %s, %d, %d,' % (name, x.dim(), ", ".join(map(str, x.shape)), dim, str(keep).lower(),
                                                       number(real), integer, y.numel()))
    print(" {%s},\n {%s},\n {%s}}," % tuple(", ".join(f) for f in fields))


def main():
    print("/* Made by make_composed.py, which says what it means. */")
    for name, (numbers, function) in REDUCED.items():
        for real in numbers:
            for x in ROWS:
                for dim, keep in ((EVERY, False), (0, True), (1, False)):
                    case(name, x, dim, keep, real, 0, lambda x: function(x, dims(x, dim), keep, real))
    for name in ("tril", "triu"):
        for diagonal in (-5, -1, 0, 1, 2, 7):
            for x in ROWS[:3]:
                case(name, x, 0, False, 0.0, diagonal, lambda x: getattr(torch, name)(x, diagonal))
    mask = torch.tensor(MASK) != 0
    for value in (-1.5, -inf):
        for x in ROWS[:4]:
            case("masked_fill", x, 0, False, value, 0, lambda x: torch.masked_fill(x, mask, value))
    other = torch.tensor(MASK[:2] + [-2.0])
    for x in ([1.0, -2.0], [inf, 0.0, 3.0, nan]):
        case("outer", x, 0, False, 0.0, 0, lambda x: torch.outer(x, other))
    for x in ([2.0, 0.0, 1.0], [[0.0, 3.0], [1.0, 1.0]]):
        case("one_hot", x, 0, False, 0.0, 4, lambda x: torch.nn.functional.one_hot(x.long(), 4))


main()
