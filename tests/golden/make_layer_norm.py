#!/usr/bin/env python3
"""Writes layer_norm.inc: what PyTorch's layer_norm gives, and its gradients, in double.

    make_layer_norm.py > layer_norm.inc

A row has the shape of x, how many of its last dimensions are normalised, eps, then the result and the gradients of x, weight and
bias for the cotangent 1 + i / 4, i the number of an element. tests/test_layer_norm.c has the same operands. Made with PyTorch
2.5.1.
"""
import torch

torch.set_default_dtype(torch.float64)
X = torch.tensor([0.5, -1.25, 2.0, 0.75, 1.5, -0.5, 3.0, 3.0, 3.0, 1.0, 0.25, -0.75])
GAMMA = torch.tensor([0.5, 2.0, 1.25, -1.0, 0.75, 1.5])
BETA = torch.tensor([0.25, -1.0, 0.5, 0.0, 0.75, 1.0])


def text(values):
    return "{" + ", ".join("%.17g" % value for value in values.flatten().tolist()) + "}"


print("/* Made by make_layer_norm.py, which says what it means. */")
for shape, dims in (((4, 3), 1), ((2, 3, 2), 2), ((2, 3, 2), 1), ((12,), 1)):
    for eps in (1e-5, 0.5):
        own = shape[len(shape) - dims:]
        count = torch.Size(own).numel()
        x = X.reshape(shape).clone().requires_grad_(True)
        gamma, beta = (torch.cat((v, v))[:count].reshape(own).clone().requires_grad_(True) for v in (GAMMA, BETA))
        y = torch.nn.functional.layer_norm(x, own, gamma, beta, eps)
        (y * (1 + torch.arange(12) / 4).reshape(shape)).sum().backward()
        print("{{%d, {%s}}, %d, %g, %s, %s, %s, %s}," % (len(shape), ", ".join(map(str, shape)), dims, eps, text(y), text(x.grad),
              text(gamma.grad), text(beta.grad)))
