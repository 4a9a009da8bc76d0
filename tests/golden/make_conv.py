#!/usr/bin/env python3
"""Writes conv.inc: results and gradients of convolutions and pooling, computed by PyTorch in double.

    python3 make_conv.py > conv.inc          (made with PyTorch 2.5.1)

tests/test_conv.c says what the numbers of x, w and of the gradient are.
"""
import torch

# Shapes of x and w, then stride, padding, dilation, groups; of pooling x, then kernel, stride, padding.
CASES = [
    ("conv2d", (2, 2, 5, 4), (3, 2, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    ("conv2d", (1, 4, 5, 6), (2, 2, 3, 3), (2, 1), (1, 1), (1, 1), 2),
    ("conv2d", (1, 1, 7, 6), (2, 1, 3, 2), (1, 2), (2, 0), (2, 3), 1),
    ("conv2d", (1, 3, 4, 4), (3, 1, 2, 2), (3, 3), (0, 1), (1, 1), 3),
    ("max_pool2d", (1, 2, 5, 6), (2, 3), (2, 2), (1, 1)),
    ("max_pool2d", (1, 1, 4, 4), (3, 3), (1, 1), (0, 0)),
    ("avg_pool2d", (1, 2, 5, 6), (2, 3), (2, 2), (1, 1)),
    ("avg_pool2d", (1, 1, 4, 4), (4, 4), (4, 4), (0, 0)),
]


def numbers(function, shape):
    count = 1
    for size in shape:
        count *= size
    return function(torch.arange(count, dtype=torch.float64)).reshape(shape)


def main():
    print("/* Made by make_conv.py with PyTorch %s. */\n/* clang-format off */" % torch.__version__.split("+")[0])
    rows = []
    for i, (name, shape, *rest) in enumerate(CASES):
        inputs = [numbers(lambda i: 0.5 * torch.sin(i + 1), shape)]
        if name == "conv2d":
            inputs.append(numbers(lambda i: 0.5 * torch.cos(i + 1), rest[0]))
            stride, padding, dilation, groups = rest[1:]
        for x in inputs:
            x.requires_grad_()
        if name == "conv2d":
            y = torch.nn.functional.conv2d(*inputs, None, stride, padding, dilation, groups)
        else:
            y = getattr(torch.nn.functional, name)(inputs[0], *rest)
        y.backward(numbers(lambda i: torch.sin(3 * i), y.shape))
        values = [v for t in [y] + [x.grad for x in inputs] for v in t.flatten().tolist()]
        lines, line = [], ""
        for value in values:
            text = "%.15g," % value
            if len(line) + len(text) > 110:
                lines.append(line.rstrip())
                line = ""
            line += text + " "
        lines.append(line.rstrip())
        print("static const double golden_%d[] = {\n    %s\n};" % (i, "\n    ".join(lines)))
        flat = list(shape)
        for part in rest:
            flat += part if isinstance(part, tuple) else [part]
        rows.append('    {"%s", {%s}, %d, golden_%d},' % (name, ", ".join(map(str, flat)), len(values), i))
    print("static const golden goldens[] = {\n%s\n};\n/* clang-format on */" % "\n".join(rows))


if __name__ == "__main__":
    main()
