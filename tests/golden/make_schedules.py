#!/usr/bin/env python3
"""Writes schedules.inc: the rates that PyTorch's schedulers give, in double.

    make_schedules.py > schedules.inc

Each case is a schedule as C makes it, the rate of the group, and the rate of the optimiser's steps 0 to 39. A schedule of
nn/schedule.h is a function of the step, PyTorch's schedulers multiply the rate they find: so the rates differ by roundings.
Made with PyTorch 2.5.1.
"""
import warnings

import torch
from torch.optim import lr_scheduler as lrs

warnings.simplefilter("ignore")
STEPS = 40


def warm(steps, start, after):
    def make(o):
        return lrs.SequentialLR(o, [lrs.LinearLR(o, start, 1.0, steps), after(o)], [steps])
    return make


def one_cycle(rate, steps, rise, start, end):
    return lambda o: lrs.OneCycleLR(o, rate, steps, pct_start=rise, div_factor=start, final_div_factor=end,
                                    cycle_momentum=False)


CASES = [
    ("mt_schedule_constant()", 0.3, lambda o: lrs.LambdaLR(o, lambda t: 1.0)),
    ("mt_schedule_step(7, 0.5)", 0.1, lambda o: lrs.StepLR(o, 7, 0.5)),
    ("mt_schedule_step(1, 0.93)", 0.2, lambda o: lrs.ExponentialLR(o, 0.93)),
    ("mt_schedule_cosine(25, 0)", 0.1, lambda o: lrs.CosineAnnealingLR(o, 25)),
    ("mt_schedule_cosine(13, 0.02)", 0.5, lambda o: lrs.CosineAnnealingLR(o, 13, 0.02)),
    ("mt_schedule_one_cycle(40, 0.3, 25, 10000)", 0.1, one_cycle(0.1, 40, 0.3, 25, 1e4)),
    ("mt_schedule_one_cycle(40, 0, 10, 100)", 0.4, one_cycle(0.4, 40, 0.0, 10, 100)),
    ("mt_schedule_one_cycle(40, 1, 5, 3)", 0.4, one_cycle(0.4, 40, 1.0, 5, 3)),
    ("mt_schedule_one_cycle(40, 0.55, 1, 2)", 0.01, one_cycle(0.01, 40, 0.55, 1, 2)),
    ("mt_schedule_warm_up(6, 0.1, mt_schedule_constant())", 0.25, lambda o: lrs.LinearLR(o, 0.1, 1.0, 6)),
    ("mt_schedule_warm_up(8, 0.25, mt_schedule_cosine(32, 0.001))", 0.1,
     warm(8, 0.25, lambda o: lrs.CosineAnnealingLR(o, 32, 0.001))),
    ("mt_schedule_warm_up(5, 0.5, mt_schedule_step(10, 0.1))", 0.1, warm(5, 0.5, lambda o: lrs.StepLR(o, 10, 0.1))),
]


def main():
    print("/* Made by make_schedules.py, which says what it means. */")
    for text, rate, make in CASES:
        weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        weight.grad = torch.zeros_like(weight)
        optimizer = torch.optim.SGD([weight], lr=rate)
        schedule = make(optimizer)
        rates = []
        for step in range(STEPS):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if step < STEPS - 1:
                schedule.step()
        lines = [", ".join(repr(float(r)) for r in rates[i:i + 4]) for i in range(0, STEPS, 4)]
        print('{"%s", %s, %r,\n {%s}},' % (text, text, rate, ",\n  ".join(lines)))


if __name__ == "__main__":
    main()
