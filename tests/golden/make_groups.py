#!/usr/bin/env python3
"""Writes groups.inc: what PyTorch makes of a regression with groups of parameters, a schedule and clipping, in double.

    make_groups.py > groups.inc

The two layers and the data of make_optim.py, with the loss multiplied by 4; 16 steps. Layer b is a group with a rate and a
decay of its own, the biases are one without decay. The rate rises for 4 steps from a quarter and falls on a cosine of 10.
In steps 5 and 6 the result is a(x) alone. Gradients are clipped by norm, then by value. tests/test_nn_groups.c compares the
norms before clipping and the 16 parameters after steps 1, 6 and 16. Made with PyTorch 2.5.1.
"""
import warnings

import torch

from make_optim import START, X, Y
from torch.optim import lr_scheduler as lrs

warnings.simplefilter("ignore")
torch.set_default_dtype(torch.float64)
STEPS = 16
CHECKED = (1, 6, 16)
WITHOUT_B = {5, 6}
CASES = [
    ("sgd momentum, norm", torch.optim.SGD, dict(lr=0.05, momentum=0.9), 1.5, None),
    ("adamw, norm and value", torch.optim.AdamW, dict(lr=0.05), 2.0, 0.75),
    ("adam, value", torch.optim.Adam, dict(lr=0.05, weight_decay=0.03), None, 0.5),
    ("rmsprop, neither", torch.optim.RMSprop, dict(lr=0.02, weight_decay=0.1, centered=True, momentum=0.5), None, None),
]


def rows(values):
    return ",\n         ".join(", ".join(repr(float(v)) for v in values[i:i + 4]) for i in range(0, len(values), 4))


def main():
    print("/* Made by make_groups.py, which says what it means. */")
    for name, make, options, norm, value in CASES:
        aw, ab, bw, bb = parameters = [p.clone().requires_grad_(True) for p in START]
        optimizer = make([dict(params=[aw]), dict(params=[bw], lr=0.03, weight_decay=0.2),
                          dict(params=[ab, bb], weight_decay=0)], **options)
        schedule = lrs.SequentialLR(optimizer, [lrs.LinearLR(optimizer, 0.25, 1.0, 4),
                                                lrs.CosineAnnealingLR(optimizer, 10, 0.001)], [4])
        norms, want = [], []
        for step in range(1, STEPS + 1):
            optimizer.zero_grad(set_to_none=True)
            p = X @ aw + ab
            if step not in WITHOUT_B:
                p = p + torch.tanh(X @ bw + bb)
            (4 * ((p - Y) ** 2).mean()).backward()
            norms.append(torch.cat([q.grad.flatten() for q in parameters if q.grad is not None]).norm())
            if norm is not None:
                torch.nn.utils.clip_grad_norm_(parameters, norm)
            if value is not None:
                torch.nn.utils.clip_grad_value_(parameters, value)
            optimizer.step()
            schedule.step()
            if step in CHECKED:
                want.append(torch.cat([q.detach().flatten() for q in parameters]).tolist())
        print('{\n    .name = "%s", .norm = %s, .value = %s,' % (name, norm or "INFINITY", value or "INFINITY"))
        print("    .norms = {%s}," % rows(norms))
        print("    .want = {\n        {%s},\n    }," % "},\n        {".join(rows(w) for w in want))
        print("},")


if __name__ == "__main__":
    main()
