#!/usr/bin/env python3
"""Writes golden.txt: values and derivatives of every row of tensor/scalar/op_table.inc, computed by PyTorch.

    python3 make_golden.py > golden.txt          (made with PyTorch 1.13.1)

A line is one of
    tolerance OP ULPS EPSILONS                   how far a result may be: ulps of it plus EPSILONS machine epsilons
    f OP P0 P1 X Y DY                            a map in float: constants, argument, value, derivative
    d OP P0 P1 A B Y DA DB                       a zip in double; f and d for both; DA and DB are - where none flows
Numbers are the shortest text that reads back to the same bits.

Where minitorch.c means something else than PyTorch, the difference is written out in `differences` below, and only
there.
"""
import functools
import math
import sys

import numpy
import torch

# Exact: one IEEE operation or a choice. Otherwise 16 ulps, and for formulas that subtract nearly equal numbers a few
# epsilons on top.
exact = (0, 0)
close = (16, 0)
cancels = (16, 8)

maps = {
    "neg": ((), torch.neg, exact),
    "relu": ((), torch.relu, exact),
    "leaky_relu": ((0.1,), lambda x, s: torch.nn.functional.leaky_relu(x, s), exact),
    "sigmoid": ((), torch.sigmoid, cancels),
    "tanh": ((), torch.tanh, cancels),
    "exp": ((), torch.exp, close),
    "log": ((), torch.log, close),
    "log1p": ((), torch.log1p, close),
    "inv": ((), torch.reciprocal, exact),
    "sqrt": ((), torch.sqrt, exact),
    "square": ((), torch.square, exact),
    "abs": ((), torch.abs, exact),
    "gelu": ((), lambda x: torch.nn.functional.gelu(x), cancels),
    "silu": ((), torch.nn.functional.silu, cancels),
    # torch's softplus returns x itself beyond a threshold of 20, which double can tell apart
    "softplus": ((), lambda x: torch.logaddexp(x, torch.zeros_like(x)), cancels),
    "sin": ((), torch.sin, cancels),
    "cos": ((), torch.cos, cancels),
    "erf": ((), torch.erf, close),
    "floor": ((), torch.floor, exact),
    "round": ((), torch.round, exact),
    "sign": ((), torch.sign, exact),
    "scale": ((-0.3,), lambda x, factor: torch.mul(x, factor), exact),
    "clamp": ((-1.5, 2.0), lambda x, low, high: torch.clamp(x, low, high), exact),
}

zips = {
    "add": ((), torch.add, exact),
    "sub": ((), torch.sub, exact),
    "mul": ((), torch.mul, exact),
    "div": ((), torch.div, close),
    "pow": ((), torch.pow, close),
    "maximum": ((), torch.maximum, exact),
    "minimum": ((), torch.minimum, exact),
    "squared_difference": ((), lambda a, b: (a - b) * (a - b), exact),
    "sigmoid_cross_entropy": ((), functools.partial(torch.nn.functional.binary_cross_entropy_with_logits, reduction="none"),
                              cancels),
    "lt": ((), torch.lt, exact),
    "le": ((), torch.le, exact),
    "gt": ((), torch.gt, exact),
    "ge": ((), torch.ge, exact),
    "eq": ((), torch.eq, exact),
    "ne": ((), torch.ne, exact),
    "is_close": ((2.0**-10, 2.0**-6), lambda a, b, atol, rtol: torch.isclose(a, b, rtol=rtol, atol=atol), exact),
}


def differences(op, x, result, real):
    """What minitorch.c returns instead, for arguments x and torch's (value, derivative...)."""
    # torch 1.13's square root in float is an ulp off in places; numpy's is rounded correctly, as IEEE 754 asks.
    if op == "sqrt":
        with numpy.errstate(all="ignore"):
            y = numpy.sqrt(real(x[0]))
            return float(y), float(real(0.5) / y)
    # relu(-0) is 0 and not -0: what is not above 0 becomes 0.
    if op == "relu" and x[0] == 0:
        return 0.0, 0.0
    # clamp's derivative at its bounds is 1, as in torch 1.13; in torch 2.15 it is 0.
    if op == "clamp" and x[0] in maps["clamp"][0]:
        return result[0], 1.0
    # Where 0 meets -0, maximum and minimum return the second; torch returns the first.
    if op in ("maximum", "minimum") and x[0] == x[1]:
        return x[1], *result[1:]
    # The loss of a logit of -inf is -label * logit; torch subtracts two infinities.
    if op == "sigmoid_cross_entropy" and x[0] == -math.inf:
        return -x[1] * x[0], *result[1:]
    return result


def arguments(real):
    info = numpy.finfo(real)
    denormal = float(info.smallest_subnormal)
    edges = [0.0, -0.0, math.inf, -math.inf, math.nan, denormal, -100 * denormal, float(info.tiny), float(info.max),
             -float(info.max)]
    plain = [1e-5, -1e-5, 0.001, -0.001, 0.1, -0.1, 0.5, -0.5, 0.75, -0.999, 1, -1, 1.5, -1.5, 2, -2, 2.5, -3.7, 4, -4,
             6.5, 10, -10, 20.5, -20.5, 50, -50, 88.5, -88.5, 100, -100, 700, -700, 1e6, -1e6, 1e18]
    pairs = [0.0, -0.0, math.inf, -math.inf, math.nan, denormal, float(info.max), 1, -1, 0.5, 2, -2.5, 3]
    pairs = [(a, b) for a in pairs for b in pairs]
    pairs += [(0.7, 0.71), (0.71, 0.7), (100, 101), (100, 102), (-0.3, 1.7), (1.7, -0.3), (1e-3, 1e3), (10, 2.5)]
    return edges + plain, pairs


def text(value, real):
    return str(real(value)) if math.isfinite(value) else {True: "nan", False: "inf" if value > 0 else "-inf"}[
        math.isnan(value)]


def short(value, real):
    written = numpy.format_float_positional(real(value), trim="-") if 1e-4 <= abs(value) < 1e6 else text(value, real)
    if value == 0:
        written = "-0" if math.copysign(1, value) < 0 else "0"
    return written.replace("e+", "e").replace("e-0", "e-").replace(".0e", "e")


def compute(function, constants, x, dtype):
    inputs = [torch.tensor([value], dtype=dtype, requires_grad=True) for value in x]
    y = function(*inputs, *constants)
    if y.dtype == torch.bool:
        return (float(y.item()),)
    y.backward(torch.ones_like(y))
    return (y.item(), *(value.grad.item() for value in inputs))


def write(letter, real, dtype):
    single, pairs = arguments(real)
    for table, samples in ((maps, [(x,) for x in single]), (zips, pairs)):
        for op, (constants, function, _) in table.items():
            for x in samples:
                x = tuple(float(real(value)) for value in x)
                result = differences(op, x, compute(function, constants, x, dtype), real)
                fields = [short(value, real) for value in (*x, *result)]
                fields += ["-"] * (1 + 2 * len(x) - len(fields))
                p = [short(value, real) for value in (*constants, 0, 0)[:2]]
                print(letter, op, *p, *fields)


def main():
    print("# made by make_golden.py with PyTorch " + torch.__version__.split("+")[0])
    for op, (_, _, (ulps, epsilons)) in (maps | zips).items():
        print("tolerance", op, ulps, epsilons)
    write("f", numpy.float32, torch.float32)
    write("d", numpy.float64, torch.float64)


if __name__ == "__main__":
    sys.exit(main())
