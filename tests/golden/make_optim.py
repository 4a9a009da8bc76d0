#!/usr/bin/env python3
"""Writes optim.inc: what PyTorch's optimisers make of a small regression, in double.

    make_optim.py > optim.inc

Two linear layers a and b of 3 inputs and 2 outputs; 20 steps of the mean square error. In steps 3 to 6 and in step 11 the
result is a(x) alone, so that b's gradient is empty and its step count stays; otherwise a(x) + tanh(b(x)). From step 10 on
the rate is a third. tests/test_nn_optim.c runs the same and compares the 16 parameters after steps 1, 2, 7, 12 and 20:
a.weight (in, out), a.bias, b.weight, b.bias. Made with PyTorch 2.5.1.
"""
import torch

torch.set_default_dtype(torch.float64)
STEPS = 20
CHECKED = (1, 2, 7, 12, 20)
WITHOUT_B = {3, 4, 5, 6, 11}

X = torch.tensor([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75], [-0.5, 1.0, 0.125], [2.0, -0.5, 1.0]])
Y = torch.tensor([[1.0, 0.0], [-0.5, 0.75], [0.25, -1.0], [0.5, 2.0]])
START = [
    torch.tensor([[0.1, -0.2], [0.3, 0.4], [-0.5, 0.6]]),
    torch.tensor([0.05, -0.1]),
    torch.tensor([[-0.3, 0.2], [0.15, -0.25], [0.35, 0.45]]),
    torch.tensor([0.0, 0.2]),
]

CASES = [
    ("sgd", torch.optim.SGD, dict(lr=0.1)),
    ("sgd weight decay", torch.optim.SGD, dict(lr=0.1, weight_decay=0.05)),
    ("sgd momentum", torch.optim.SGD, dict(lr=0.05, momentum=0.9)),
    ("sgd momentum weight decay", torch.optim.SGD, dict(lr=0.05, momentum=0.8, weight_decay=0.1)),
    ("sgd nesterov", torch.optim.SGD, dict(lr=0.05, momentum=0.9, nesterov=True)),
    ("sgd nesterov weight decay", torch.optim.SGD, dict(lr=0.05, momentum=0.7, weight_decay=0.1, nesterov=True)),
    ("adam", torch.optim.Adam, dict(lr=0.1)),
    ("adam weight decay", torch.optim.Adam, dict(lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)),
    ("adamw", torch.optim.AdamW, dict(lr=0.1)),
    ("adamw strong", torch.optim.AdamW, dict(lr=0.05, betas=(0.5, 0.9), eps=1e-3, weight_decay=0.5)),
    ("adagrad", torch.optim.Adagrad, dict(lr=0.2)),
    ("adagrad decays", torch.optim.Adagrad, dict(lr=0.2, lr_decay=0.1, weight_decay=0.05, eps=1e-4,
                                                  initial_accumulator_value=0.25)),
    ("rmsprop", torch.optim.RMSprop, dict(lr=0.02)),
    ("rmsprop weight decay", torch.optim.RMSprop, dict(lr=0.05, alpha=0.8, eps=1e-4, weight_decay=0.1)),
    ("rmsprop momentum", torch.optim.RMSprop, dict(lr=0.01, momentum=0.9)),
    ("rmsprop centered", torch.optim.RMSprop, dict(lr=0.02, alpha=0.9, centered=True)),
    ("rmsprop centered momentum", torch.optim.RMSprop, dict(lr=0.01, alpha=0.9, eps=1e-3, momentum=0.5,
                                                             weight_decay=0.05, centered=True)),
]


def run(make, options):
    parameters = [p.clone().requires_grad_(True) for p in START]
    aw, ab, bw, bb = parameters
    optimizer = make(parameters, **options)
    for step in range(1, STEPS + 1):
        if step == 10:
            optimizer.param_groups[0]["lr"] /= 3
        optimizer.zero_grad(set_to_none=True)
        p = X @ aw + ab
        if step not in WITHOUT_B:
            p = p + torch.tanh(X @ bw + bb)
        ((p - Y) ** 2).mean().backward()
        optimizer.step()
        if step in CHECKED:
            yield torch.cat([p.detach().flatten() for p in parameters]).tolist()


def number(value):
    return repr(float(value))


# For each optimiser its member of the test's struct, and PyTorch's options by their names in C.
KINDS = {
    "SGD": ("sgd", dict(rate="lr", momentum="momentum", weight_decay="weight_decay", nesterov="nesterov")),
    "Adagrad": ("adagrad", dict(rate="lr", rate_decay="lr_decay", weight_decay="weight_decay",
                                initial="initial_accumulator_value", epsilon="eps")),
    "RMSprop": ("rmsprop", dict(rate="lr", alpha="alpha", epsilon="eps", weight_decay="weight_decay",
                                momentum="momentum", centered="centered")),
    "Adam": ("adam", dict(rate="lr", beta1="betas", beta2="betas", epsilon="eps", weight_decay="weight_decay")),
}


def options_in_c(make, options):
    """Every option, also those that a case leaves at PyTorch's default."""
    kind, names = KINDS["Adam" if make.__name__ == "AdamW" else make.__name__]
    defaults = make([torch.zeros(1, requires_grad=True)], lr=1.0).defaults
    values = {ours: {**defaults, **options}[theirs] for ours, theirs in names.items()}
    if kind == "adam":
        values.update(beta1=values["beta1"][0], beta2=values["beta2"][1], decoupled=make.__name__ == "AdamW")
    text = ", ".join(".%s = %s" % (name, str(value).lower()) for name, value in values.items())
    return "    .kind = %s, .%s = {%s}," % (kind.upper(), kind, text)


def main():
    print("/* Made by make_optim.py, which says what it means. */")
    for name, make, options in CASES:
        print("{")
        print('    .name = "%s",' % name)
        print(options_in_c(make, options))
        print("    .want = {")
        for values in run(make, options):
            lines = [", ".join(number(v) for v in values[i:i + 4]) for i in range(0, len(values), 4)]
            print("        {" + ",\n         ".join(lines) + "},")
        print("    },")
        print("},")


if __name__ == "__main__":
    main()
