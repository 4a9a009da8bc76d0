#!/usr/bin/env python3
"""Writes losses.inc: what PyTorch's losses give, and their gradients, in double, for every combination of reduction,
weights, label smoothing and ignored labels.

    make_losses.py > losses.inc

A row has the loss's name, the number of its case of operands (below), the numbers that it takes (delta or beta, or label
smoothing), whether it has weights and an ignored label, the reduction (0 mean, 1 sum, 2 none), then the result, and the
gradient of the sum over i of (1 + i / 4) result[i]. tests/test_losses.c has the same operands. Made with PyTorch 2.5.1.
"""
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
REDUCTIONS = ("mean", "sum", "none")
X = torch.tensor([0.5, -1.25, 2.0, 0.75, 1.5, -0.5, 0.0, 3.0, -2.5, 1.0, 0.25, -0.75])
TARGET = torch.tensor([0.25, 1.0, 0.5, 0.0, 0.75, 1.0, 0.125, 0.5, 0.0, 1.0, 0.625, 0.25])
WEIGHT = torch.tensor([0.5, 2.0, 1.25])
SHAPES = ((4, 3), (2, 3, 2), (3,))
LABELS = ((2, 0, 1, 1), ((0, 2), (1, 1)), 1)


def row(name, case, number, weighted, ignored, reduction, loss, x):
    result = loss(x)
    (result * (1 + torch.arange(result.numel()) / 4).reshape(result.shape)).sum().backward()
    numbers = ", ".join("%.17g" % value for value in result.flatten().tolist())
    slope = ", ".join("%.17g" % value for value in x.grad.flatten().tolist())
    print('{"%s", %d, %g, %d, %d, %d, {%s}, {%s}},' % (name, case, number, weighted, ignored, reduction,
          numbers.replace("nan", "NAN"), slope))


def operand(values, case):
    shape = SHAPES[case]
    count = torch.Size(shape).numel()
    return values[:count].reshape(shape).clone()


def pairs():
    for reduction, how in enumerate(REDUCTIONS):
        for case in range(2):
            y = operand(TARGET, case)
            for name, number, loss in (
                ("mse", 0, lambda p: F.mse_loss(p, y, reduction=how)),
                ("l1", 0, lambda p: F.l1_loss(p, y, reduction=how)),
                ("huber", 0.75, lambda p: F.huber_loss(p, y, delta=0.75, reduction=how)),
                ("huber", 2, lambda p: F.huber_loss(p, y, delta=2, reduction=how)),
                ("smooth_l1", 0.75, lambda p: F.smooth_l1_loss(p, y, beta=0.75, reduction=how)),
                ("smooth_l1", 2, lambda p: F.smooth_l1_loss(p, y, beta=2, reduction=how)),
                ("bce_with_logits", 0, lambda p: F.binary_cross_entropy_with_logits(p, y, reduction=how)),
            ):
                row(name, case, number, 0, 0, reduction, loss, operand(X, case).requires_grad_(True))
            p = ((operand(X, case) + 3) / 8).detach().requires_grad_(True)
            row("bce", case, 0, 0, 0, reduction, lambda p: F.binary_cross_entropy(p, y, reduction=how), p)


def classes():
    for case in range(len(SHAPES)):
        labels = torch.tensor(LABELS[case])
        for reduction, how in enumerate(REDUCTIONS):
            for weighted in (0, 1):
                weight = WEIGHT if weighted else None
                for smoothing in (0, 0.3):
                    x = operand(X, case).requires_grad_(True)
                    y = operand(TARGET, case)
                    row("soft_cross_entropy", case, smoothing, weighted, 0, reduction, lambda x: F.cross_entropy(
                        x, y, weight=weight, label_smoothing=smoothing, reduction=how), x)
                    for ignored in (0, 1, 2):  # none; label 1; every label
                        x = operand(X, case).requires_grad_(True)
                        known = torch.full_like(labels, 1) if ignored == 2 else labels
                        options = dict(weight=weight, ignore_index=1 if ignored else -100, reduction=how)
                        row("cross_entropy", case, smoothing, weighted, ignored, reduction,
                            lambda x: F.cross_entropy(x, known, label_smoothing=smoothing, **options), x)
                        if smoothing == 0:
                            x = operand(X, case).requires_grad_(True)
                            row("nll", case, 0, weighted, ignored, reduction, lambda x: F.nll_loss(x, known, **options), x)


print("/* Made by make_losses.py, which says what it means. */")
pairs()
classes()
