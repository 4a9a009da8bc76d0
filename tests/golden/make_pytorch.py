#!/usr/bin/env python3
"""Writes pytorch.inc: results and gradients of operations that are no row of op_table.inc, computed by PyTorch.

    make_pytorch.py > pytorch.inc

A case names the operation (autodiff/operation.h), its inputs, its attributes in the descriptor's order, the result, and for
each input that gets one the gradient for the cotangent 1, 2, 3, 4, 1, 2, ... tests/test_pytorch.c applies the operation and
compares. Numbers are multiples of 1/4, of few digits, so that sums are exact in any order. Made with PyTorch 2.5.1.
"""
import math

import torch

torch.set_default_dtype(torch.float64)
torch.manual_seed(1)
INF, NAN = math.inf, math.nan


def numbers(*shape):
    return torch.randint(-12, 13, shape) / 4.0


def distinct(*shape):
    count = math.prod(shape)
    return (torch.randperm(count) - count // 2).reshape(shape) / 4.0


def literal(value):
    value = float(value)
    return "NAN" if math.isnan(value) else ("-" if value < 0 else "") + "INFINITY" if math.isinf(value) else repr(value)


def array(x):
    values = ", ".join(literal(value) for value in x.flatten().tolist())
    shape = ", ".join(str(size) for size in x.shape)
    return "{%s, {%d, {%s}}, (const double[]){%s}}" % ("MT_INDEX" if x.dtype == torch.int64 else "MT_REAL", x.dim(), shape, values or "0")


def attribute(value):
    if value is None:
        return "{.shape = NULL}"
    if isinstance(value, bool):
        return "{.truth = %s}" % str(value).lower()
    if isinstance(value, tuple):
        return "{.shape = &(const mt_shape){%d, {%s}}}" % (len(value), ", ".join(map(str, value)))
    return "{.integer = %d}" % value if isinstance(value, int) else "{.real = %s}" % literal(value)


def case(name, function, inputs, *attributes):
    """function(inputs, attributes...) is PyTorch's."""
    inputs = [x.clone().requires_grad_(x.dtype != torch.int64) for x in inputs]
    out = function(inputs, *attributes)
    grads = [None] * len(inputs)
    if out.dtype != torch.int64:
        out.backward((torch.arange(out.numel()) % 4 + 1.0).reshape(out.shape))
        grads = [x.grad for x in inputs]
    print("{")
    print('    .name = "%s",' % name)
    print("    .in = {%s}," % ", ".join(array(x.detach()) for x in inputs))
    print("    .inputs = %d," % len(inputs))
    print("    .attribute = {%s}," % (", ".join(attribute(value) for value in attributes) or "{0}"))
    print("    .out = %s," % array(out.detach()))
    print("    .grad = {%s}," % ", ".join(array(g) if g is not None else "{0}" for g in grads))
    print("},")


def main():
    print("/* Made by make_pytorch.py, which says what it means. */")
    for dim in (0, -1):
        case("cat", torch.cat, [numbers(2, 3), numbers(2, 3)], dim)
    case("cat", torch.cat, [numbers(2, 1, 3), numbers(2, 4, 3), numbers(2, 0, 3)], 1)
    case("cat", torch.cat, [torch.randint(0, 9, (3,)), torch.randint(0, 9, (2,))], 0)
    for dim in (0, 1, 2, -1):
        case("stack", torch.stack, [numbers(2, 3), numbers(2, 3)], dim)
    case("stack", torch.stack, [numbers(1)], -2)
    for dims in ((0,), (-1,), (0, 2), (2, 0, 1)):
        case("flip", lambda x, dims: torch.flip(x[0], dims), [numbers(2, 3, 4)], dims)
    index = torch.tensor([[0, 2, 2, 1, 0], [1, 1, 0, 2, 2]])
    for dim, where in ((1, index), (-1, index[:1, :2]), (0, torch.tensor([[1, 0, 1], [0, 0, 1], [1, 1, 1]]))):
        case("gather", lambda x, dim: torch.gather(x[0], dim, x[1]), [numbers(2, 3), where], dim)
        src = numbers(*where.shape)
        case("scatter_add", lambda x, dim: x[0].scatter_add(dim, x[1], x[2]), [numbers(2, 3), where, src], dim)
    case("gather", lambda x, dim: torch.gather(x[0], dim, x[1]), [torch.tensor([5, 7, 9]), torch.tensor([2, 2, 0, 1])], 0)
    for dim in (0, 1, -1):
        case("index_select", lambda x, dim: torch.index_select(x[0], dim, x[1]),
             [numbers(2, 3, 2), torch.tensor([1, 0, 0, 1])], dim)
    for shape, dim in (((5,), 0), ((2, 3), 0), ((2, 3, 4), 1), ((2, 3), -1), ((2, 0), 1)):
        case("cumsum", lambda x, dim: torch.cumsum(x[0], dim), [numbers(*shape)], dim)
    case("cumsum", lambda x, dim: torch.cumsum(x[0], dim), [torch.tensor([1, INF, 2, -INF, 3, NAN, 4.0])], 0)
    ties = torch.tensor([[2, NAN, -1, 0.0, 2, -INF], [INF, -0.0, 0.0, NAN, INF, 1]])
    for descending in (False, True):
        for x, dim in ((distinct(3, 4), 1), (distinct(3, 4), 0), (distinct(2, 3, 2), -2), (ties, 1)):
            case("argsort", lambda x, dim, down: torch.sort(x[0], dim=dim, descending=down, stable=True)[1], [x], dim, descending)
            case("sort", lambda x, dim, down: torch.sort(x[0], dim=dim, descending=down, stable=True)[0], [x], dim, descending)
        for k, dim in ((2, 1), (4, -1), (1, 0), (0, 0)):
            x = distinct(3, 4)
            case("argtopk", lambda x, k, dim, largest: torch.topk(x[0], k, dim, largest)[1], [x], k, dim, descending)
            case("topk", lambda x, k, dim, largest: torch.topk(x[0], k, dim, largest)[0], [x], k, dim, descending)


if __name__ == "__main__":
    main()
