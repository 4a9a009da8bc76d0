"""PyTorch's side of random_programs.py: each operation of the library as an expression of torch, and a program's values
and gradients by them, in double.

A new operation needs a line in `expressions`: its inputs come first, then its attributes by name. Where the library
means something else than PyTorch's function of the same name (docs/semantics.md), the line says it with others.
"""
import math

try:
    import torch
    from torch.nn import functional
except ImportError:
    torch = functional = None


def real(mask):
    return mask.to(torch.float64)


def rows(x, dims):
    """The dimensions in dims (None: all) as one, behind the others; and the shape of a result, dropped and kept."""
    gone = sorted(d % x.dim() for d in (range(x.dim()) if dims is None else dims))
    left = [d for d in range(x.dim()) if d not in gone]
    joined = x.permute(left + gone).reshape([x.shape[d] for d in left] + [math.prod(x.shape[d] for d in gone)])
    dropped = [x.shape[d] for d in left] or [1]
    kept = [1 if d in gone else x.shape[d] for d in range(x.dim())]
    return joined, dropped, kept


def reduction(function):
    def reduce(x, dims, keepdim, **more):
        joined, dropped, kept = rows(x, dims)
        return function(joined, **more).reshape(kept if keepdim else dropped)

    return reduce


def chosen(choose):
    """Where the chosen element of each row stands; of no rows, which PyTorch refuses where they are empty, nothing."""
    return lambda x: choose(x, -1) if x.shape[:-1].numel() else x.new_zeros(x.shape[:-1], dtype=torch.int64)


def first(choose):
    """The element that argmax or argmin finds, the first of equal ones: its gradient goes there alone."""
    where = chosen(choose)
    return lambda x: x.gather(-1, where(x).unsqueeze(-1)).squeeze(-1) if x.shape[:-1].numel() else x.sum(-1)


def norm(x, order):
    """Of no rows, which PyTorch refuses where they are empty and the order is infinity, nothing."""
    return torch.linalg.vector_norm(x, order, -1) if x.shape[:-1].numel() else x.sum(-1)


def unstrided(x):
    """A copy with the usual strides, in dimensions of size 1 too, where PyTorch 2.5 errs by others: an index (1, n) of
    strides (1, 1) is taken for an expanded column, and a convolution's backward asks for contiguous weights."""
    return x.clone(memory_format=torch.contiguous_format)


def variance(x, correction):
    return ((x - x.mean(-1, keepdim=True)) ** 2).sum(-1) / max(x.shape[-1] - correction, 0)


def deviation(x, correction):
    """Where all are equal, the derivative is 0; PyTorch's is NaN."""
    v = variance(x, correction)
    return torch.where(v == 0, torch.zeros_like(v), torch.sqrt(torch.where(v == 0, torch.ones_like(v), v)))


def activated(x, act):
    return expressions[act](x)


def clamp(x, low, high):
    # at a bound the derivative is 1
    return torch.where(x < low, low, torch.where(x > high, high, x))


def rank_1(x):
    return x.reshape(1) if x.dim() == 0 else x


def piece(x, dim, start, stop, step):
    return x[(slice(None),) * (dim % x.dim()) + (slice(start, stop, step),)]


def ordered(x, dim, descending):
    """Where the elements stand in order, equal ones in the order in which they stand."""
    return torch.sort(x, dim=dim, descending=bool(descending), stable=True).indices


def pad(x, before, after, value):
    value = value if x.is_floating_point() else int(value)
    if x.numel() == 0:  # which PyTorch pads only where no size stays 0
        return x.new_full([n + b + a for n, b, a in zip(x.shape, before, after)], value) + x.sum()
    return functional.pad(x, [n for pair in zip(reversed(before), reversed(after)) for n in pair], value=value)


def listed(sizes, *attributes):
    """Attributes as lists, where they are numbers of one dimension."""
    return [v if isinstance(v, list) else [v] * len(sizes) for v in attributes]


def convolution(function):
    """PyTorch refuses an image without elements, though its padding has windows."""

    def apply_convolution(x, w, bias=None, *, stride, padding, dilation, groups):
        if x.numel():
            return function(x, unstrided(w), bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
        sizes = zip(x.shape[2:], w.shape[2:], *listed(x.shape[2:], stride, padding, dilation))
        places = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes]
        y = x.new_zeros((x.shape[0], w.shape[0], *places)) + x.sum() + 0 * w.sum()
        return y if bias is None else y + bias.reshape(-1, *[1] * len(places))

    return apply_convolution


def left(function):
    """minitorch's convolutions: zeros past the end, and a result as long as x; PyTorch refuses an empty image."""

    def apply_left(x, w):
        if x.numel() == 0:
            return x.new_zeros((x.shape[0], w.shape[0], *x.shape[2:])) + x.sum() + 0 * w.sum()
        return function(functional.pad(x, [n for size in reversed(w.shape[2:]) for n in (0, size - 1)]), unstrided(w))

    return apply_left


def pool(function, of_nothing):
    """of_nothing: of a window of padding alone, in an image without elements, which PyTorch refuses."""

    def apply_pool(x, kernel, stride, padding):
        if x.numel():
            return function(x, kernel, stride, padding)
        sizes = zip(x.shape[2:], *listed(x.shape[2:], kernel, stride, padding))
        places = [(n + 2 * p - k) // s + 1 for n, k, s, p in sizes]
        return x.new_full((*x.shape[:2], *places), of_nothing) + x.sum()

    return apply_pool


def tile(x, kernel):
    n, c, h, w = x.shape
    kh, kw = kernel
    return x.reshape(n, c, h // kh, kh, w // kw, kw).permute(0, 1, 2, 4, 3, 5).reshape(n, c, h // kh, w // kw, kh * kw)


# ---- losses ----


def reduced(elements, reduction):
    return elements if reduction == NONE else rank_1(elements.sum() if reduction == SUM else elements.mean())


def loss(element):
    """Of a prediction and a target, from the loss of an element."""
    return lambda p, target, reduction, **more: reduced(element(p, target, **more), reduction)


def bce(p, target):
    p, q = torch.clamp(torch.log(p), min=-100), torch.clamp(torch.log1p(-p), min=-100)
    return -(target * p + (1 - target) * q)


def logistic(z, target):
    return torch.logaddexp(z, torch.zeros_like(z)) - z * target


def over_classes(function):
    """A loss of labels along dimension 1, or along a vector, a batch of one; a weight of one number is for every class."""

    def apply_loss(x, labels, weight, reduction, **more):
        # PyTorch 2.5's backward of nll_loss over 4 dimensions wants x without gaps
        x = x.unsqueeze(0) if x.dim() == 1 else x.contiguous()
        return rank_1(function(x, labels, weight.expand(x.shape[1]), reduction=("mean", "sum", "none")[reduction], **more))

    return apply_loss


def soft_cross_entropy(x, target, weight, reduction, label_smoothing):
    """PyTorch's mean over no classes is 0 / 0: so of the rows."""
    if x.dim() == 1:
        x, target = x.unsqueeze(0), target.unsqueeze(0)
    weight = weight.expand(x.shape[1])
    rows = functional.cross_entropy(x, target, weight, reduction="none", label_smoothing=label_smoothing)
    return reduced(rows, reduction)


SUM, NONE = 1, 2

expressions = {
    "neg": lambda x: -x,
    "relu": lambda x: torch.relu(x),
    "leaky_relu": lambda x, slope: functional.leaky_relu(x, slope),
    "sigmoid": lambda x: torch.sigmoid(x),
    "tanh": lambda x: torch.tanh(x),
    "exp": lambda x: torch.exp(x),
    "log": lambda x: torch.log(x),
    "log1p": lambda x: torch.log1p(x),
    "inv": lambda x: torch.reciprocal(x),
    "sqrt": lambda x: torch.sqrt(x),
    "square": lambda x: torch.square(x),
    "abs": lambda x: torch.abs(x),
    "gelu": lambda x: functional.gelu(x),
    "silu": lambda x: functional.silu(x),
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "scale": lambda x, factor: x * factor,
    "clamp": clamp,
    "sin": lambda x: torch.sin(x),
    "cos": lambda x: torch.cos(x),
    "erf": lambda x: torch.erf(x),
    "floor": lambda x: torch.floor(x),
    "round": lambda x: torch.round(x),
    "sign": lambda x: torch.sign(x),
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: torch.pow(a, b),
    "maximum": lambda a, b: torch.maximum(a, b),
    "minimum": lambda a, b: torch.minimum(a, b),
    "squared_difference": lambda a, b: (a - b) ** 2,
    "sigmoid_cross_entropy": logistic,
    "lt": lambda a, b: real(a < b),
    "le": lambda a, b: real(a <= b),
    "gt": lambda a, b: real(a > b),
    "ge": lambda a, b: real(a >= b),
    "eq": lambda a, b: real(a == b),
    "ne": lambda a, b: real(a != b),
    "is_close": lambda a, b, atol, rtol: real((a == b) | ((a - b).abs() <= atol + rtol * b.abs())),
    "sum": reduction(lambda x: x.sum(-1)),
    "mean": reduction(lambda x: real(x).mean(-1)),
    "prod": reduction(lambda x: x.prod(-1)),
    "max": reduction(first(lambda *x: torch.argmax(*x))),
    "min": reduction(first(lambda *x: torch.argmin(*x))),
    "all": reduction(lambda x: real((x != 0).all(-1))),
    "any": reduction(lambda x: real((x != 0).any(-1))),
    "argmax": reduction(chosen(lambda *x: torch.argmax(*x))),
    "argmin": reduction(chosen(lambda *x: torch.argmin(*x))),
    "matmul": lambda a, b: rank_1(torch.matmul(a, b)),
    "linear": lambda x, w, bias: torch.matmul(x, w) + bias,
    "linear_act": lambda x, w, bias, act: activated(torch.matmul(x, w) + bias, act),
    "view": lambda x, shape: x.reshape(shape),
    "reshape": lambda x, shape: x.reshape(shape),
    "flatten": lambda x, first, last: x.flatten(first, last),
    "squeeze": lambda x, dim: rank_1(x.squeeze(dim)),
    "unsqueeze": lambda x, dim: x.unsqueeze(dim),
    "permute": lambda x, order: x.permute(order),
    "transpose": lambda x, dim0, dim1: x.transpose(dim0, dim1),
    "slice": piece,
    "select": lambda x, dim, index: rank_1(x.select(dim, index)),
    "expand": lambda x, shape: x.expand(shape),
    "copy": lambda x: x.clone(),
    "as": lambda x, kind: x.to(torch.int64 if kind == "index" else torch.float64),
    "contiguous": lambda x: x.contiguous(),
    "take_rows": lambda x, index: x[index],
    "cat": lambda *x, dim: torch.cat(x, dim),
    "stack": lambda *x, dim: torch.stack(x, dim),
    "flip": lambda x, dims: x.flip(list(range(x.dim())) if dims is None else dims),
    "gather": lambda x, index, dim: x.gather(dim, unstrided(index)),
    "index_select": lambda x, index, dim: x.index_select(dim, index),
    "scatter_add": lambda x, index, src, dim: x.scatter_add(dim, unstrided(index), src),
    "cumsum": lambda x, dim: x.cumsum(dim),
    "argsort": lambda x, dim, descending: ordered(x, dim, descending),
    "sort": lambda x, dim, descending: x.gather(dim, unstrided(ordered(x, dim, descending))),
    "argtopk": lambda x, k, dim, largest: ordered(x, dim, largest).narrow(dim, 0, k),
    "topk": lambda x, k, dim, largest: x.gather(dim, unstrided(ordered(x, dim, largest).narrow(dim, 0, k))),
    "masked_fill": lambda x, mask, value: torch.where(mask != 0, value, x),
    "tril": lambda x, diagonal: x.tril(max(min(diagonal, 2**30), -(2**30))),
    "triu": lambda x, diagonal: x.triu(max(min(diagonal, 2**30), -(2**30))),
    "one_hot": lambda index, classes: real(functional.one_hot(index, classes)),
    "outer": lambda a, b: torch.outer(a, b),
    "layer_norm": lambda x, gamma, beta, eps: functional.layer_norm(x, gamma.shape, gamma, beta, eps),
    "logsumexp": reduction(lambda x: torch.logsumexp(x, -1)),
    "norm": reduction(norm),
    "std": reduction(deviation),
    "unfold": lambda x, dim, size, step: x.unfold(dim, size, step),
    "pad": pad,
    "conv1d": convolution(lambda *x, **more: functional.conv1d(*x, **more)),
    "conv1d_bias": convolution(lambda *x, **more: functional.conv1d(*x, **more)),
    "conv2d": convolution(lambda *x, **more: functional.conv2d(*x, **more)),
    "conv2d_bias": convolution(lambda *x, **more: functional.conv2d(*x, **more)),
    "conv1d_left": left(lambda x, w: functional.conv1d(x, w)),
    "conv2d_left": left(lambda x, w: functional.conv2d(x, w)),
    "max_pool1d": pool(lambda *x, **more: functional.max_pool1d(*x, **more), -math.inf),
    "avg_pool1d": pool(lambda *x, **more: functional.avg_pool1d(*x, **more), 0),
    "max_pool2d": pool(lambda *x, **more: functional.max_pool2d(*x, **more), -math.inf),
    "avg_pool2d": pool(lambda *x, **more: functional.avg_pool2d(*x, **more), 0),
    "tile": tile,
    "var": reduction(variance),
    "softmax": lambda x, dim: torch.softmax(x, dim),
    "log_softmax": lambda x, dim: torch.log_softmax(x, dim),
    "where": lambda mask, a, b: torch.where(mask != 0, a, b),
    "mse": loss(lambda p, target: (p - target) ** 2),
    "l1": loss(lambda p, target: (p - target).abs()),
    "huber": loss(lambda p, target, delta: functional.huber_loss(p, target, reduction="none", delta=delta)),
    "smooth_l1": loss(lambda p, target, beta: functional.smooth_l1_loss(p, target, reduction="none", beta=beta)),
    "bce_with_logits": loss(logistic),
    "bce": loss(bce),
    "nll": over_classes(lambda *x, **more: functional.nll_loss(*x, **more)),
    "cross_entropy": over_classes(lambda *x, **more: functional.cross_entropy(*x, **more)),
    "soft_cross_entropy": soft_cross_entropy,
}


def flat(x):
    return x.reshape(-1).tolist()


class Refusal(Exception):
    """The item that PyTorch cannot compute (-1: backward), and why."""


def apply(item, k, tensors):
    try:
        return expressions[item.operation](*(tensors[i] for i in item.inputs), **item.attributes)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        raise Refusal(k, str(error).split("\n", 1)[0]) from error


def backward(program, tensors):
    """From the results with a cotangent; no gradient passes a comparison, for which torch has no backward at all."""
    starts, cotangents = [], []
    for k, numbers in program.cotangents.items():
        count = tensors[k].numel()
        if tensors[k].requires_grad:
            starts.append(tensors[k])
            numbers = (numbers * (count // max(len(numbers), 1) + 1))[:count]
            cotangents.append(torch.tensor(numbers, dtype=torch.float64).reshape(tensors[k].shape))
    try:
        if starts:
            torch.autograd.backward(starts, cotangents)
    except RuntimeError as error:
        raise Refusal(-1, str(error).split("\n", 1)[0]) from error


def evaluate(program):
    """What random_programs run gives: {item: (kind, shape, numbers)} and {leaf: numbers}."""
    tensors, values = [], {}
    for k, item in enumerate(program.items):
        if item.operation is None:
            dtype = torch.int64 if item.kind == "index" else torch.float64
            x = torch.tensor(item.values, dtype=torch.float64).to(dtype).reshape(item.shape)
            tensors.append(x.requires_grad_(item.grad))
        else:
            y = apply(item, k, tensors)
            tensors.append(y)
            values[k] = ("real" if y.dtype == torch.float64 else "index", tuple(y.shape), flat(y.detach()))
    backward(program, tensors)
    gradients = {}
    for k, item in enumerate(program.items):
        if item.operation is None and item.grad:
            gradients[k] = [0.0] * tensors[k].numel() if tensors[k].grad is None else flat(tensors[k].grad)
    return values, gradients
