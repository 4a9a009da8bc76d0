#!/usr/bin/env python3
"""Times PyTorch, NumPy and JAX on the work that a bench asks for, as the bench times itself.

    peers.py THREADS --full|--quick

Prints one JSON line that says which peers are there ("torch": "1.13.1", or "no_torch": why it is absent). Then reads
lines such as {"work": "add", "shape": "1000"} until there are no more, and answers each with one line for every peer
that is there: {"engine": "torch", "threads": 2, "seconds": median, "low": quartile, "high": quartile, "best": ...,
"samples": ...}, without seconds for work that the peer does not know. Results are written to tensors that exist before
(out=) where the peer allows it, and nothing is recorded for gradients but in training. A call from Python costs each
peer about a microsecond, which is part of what is timed.
"""
import contextlib
import json
import os
import sys
import time

if len(sys.argv) != 3 or not sys.argv[1].isdigit() or sys.argv[2] not in ("--full", "--quick"):
    sys.exit(__doc__)
THREADS = max(1, int(sys.argv[1]))
QUICK = sys.argv[2] == "--quick"
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = str(THREADS)
WARM_UP, SAMPLE, BUDGET, SAMPLES, PAUSE = (5e-4, 2e-4, 0.01, 5, 1e-3) if QUICK else (0.03, 2e-3, 0.5, 21, 0.06)

# Where an operation's arguments are drawn from, when not from -2 to 2; as in tensor/scalar/op_table.inc.
DOMAINS = {"log": [(0.2, 4)], "log1p": [(-0.8, 3)], "inv": [(0.2, 3)], "sqrt": [(0.2, 4)], "sigmoid": [(-4, 4)],
           "div": [(-2, 2), (0.5, 3)], "pow": [(0.3, 2), (-2, 2)],
           "sigmoid_cross_entropy": [(-4, 4), (0, 1)]}
ZIPS = {"add", "sub", "mul", "div", "pow", "maximum", "minimum", "squared_difference", "sigmoid_cross_entropy", "lt", "le",
        "gt", "ge", "eq", "ne", "is_close"}
REDUCTIONS = {"sum", "mean", "prod", "max", "min", "all", "argmax", "argmin"}
COMPARISONS = {"lt", "le", "gt", "ge", "eq", "ne", "is_close"}


def share(values, part):
    position = part * (len(values) - 1)
    below = int(position)
    above = min(below + 1, len(values) - 1)
    return values[below] + (position - below) * (values[above] - values[below])


def measure(body):
    """Seconds of one call of body: the median, the quartiles, the best."""
    time.sleep(PAUSE)
    start, fastest = time.perf_counter(), 1e30
    while fastest > 1e29 or time.perf_counter() - start < WARM_UP:
        before = time.perf_counter()
        body()
        fastest = min(fastest, time.perf_counter() - before)
    calls = range(int(SAMPLE / max(fastest, 2e-8)) + 1 if fastest < SAMPLE else 1)
    seconds, start = [], time.perf_counter()
    while len(seconds) < SAMPLES and (len(seconds) < 3 or time.perf_counter() - start < BUDGET):
        before = time.perf_counter()
        for _ in calls:
            body()
        seconds.append((time.perf_counter() - before) / len(calls))
    seconds.sort()
    return {"seconds": share(seconds, 0.5), "low": share(seconds, 0.25), "high": share(seconds, 0.75),
            "best": seconds[0], "samples": len(seconds)}


@contextlib.contextmanager
def as_many_processors():
    """The calling thread, and those it starts, on as many processors as there are threads: for peers that know no other
    limit."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(everywhere)[:THREADS])
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)


def sizes_of(shape):
    return [int(size) for size in shape.split(" x ")]


class Torch:
    """PyTorch, eager. Each method returns a function to be timed, or None for work that it does not know."""

    threads = THREADS

    def __init__(self):
        import torch
        torch.set_num_threads(THREADS)
        torch.manual_seed(1)
        self.torch = torch
        self.version = torch.__version__

    def held(self, training):
        return contextlib.nullcontext() if training else self.torch.inference_mode()

    def arguments(self, work, sizes):
        count = 2 if work in ZIPS else 1
        domains = DOMAINS.get(work, [(-2, 2)] * count)
        return [self.torch.rand(sizes) * (high - low) + low for low, high in domains]

    def elementwise(self, work, sizes):
        torch, nn = self.torch, self.torch._C._nn
        args = self.arguments(work, sizes)
        out = torch.empty(sizes, dtype=torch.bool if work in COMPARISONS else torch.float32)
        a, b = args[0], args[-1]
        if work == "is_close":
            return lambda: torch.isclose(a, b)
        special = {
            "relu": lambda: torch.clamp_min(a, 0, out=out),
            "leaky_relu": lambda: nn.leaky_relu(a, 0.1, out=out),
            "gelu": lambda: nn.gelu(a, out=out),
            "silu": lambda: nn.silu(a, out=out),
            "softplus": lambda: nn.softplus(a, out=out),
            "clamp": lambda: torch.clamp(a, -1, 1, out=out),
            "inv": lambda: torch.reciprocal(a, out=out),
            "scale": lambda: torch.mul(a, 0.1, out=out),
            "squared_difference": lambda: nn.mse_loss(a, b, 0, out=out),
            "sigmoid_cross_entropy": lambda: torch.binary_cross_entropy_with_logits(a, b, None, None, 0),
        }
        if work in special:
            return special[work]
        function = getattr(torch, work, None)
        if function is None:
            return None
        return (lambda: function(a, b, out=out)) if work in ZIPS else (lambda: function(a, out=out))

    def reduction(self, name, where, sizes):
        x = self.torch.rand(sizes) + 0.5
        if name == "all":
            x = x > 0
        function = getattr(self.torch, {"max": "amax", "min": "amin"}.get(name, name))
        if where == "all" and name == "prod":  # which has no out= then
            return lambda: function(x)
        dim = (0, 1) if where == "all" and name == "sum" else None if where == "all" else int(where[-1])
        out = self.torch.empty_like(function(x) if dim is None else function(x, dim))
        return (lambda: function(x, out=out)) if dim is None else (lambda: function(x, dim, out=out))

    def other(self, work, sizes):
        torch = self.torch
        x, out = torch.rand(sizes), torch.empty(sizes)
        if work == "add row":
            row = torch.rand(sizes[-1])
            return lambda: torch.add(x, row, out=out)
        if work == "copy transposed":
            target = torch.empty(sizes[::-1])
            return lambda: target.copy_(x.t())
        return None

    def network(self, widths, sigmoid):
        nn, layers = self.torch.nn, []
        for i in range(len(widths) - 1):
            layers.append(nn.Linear(widths[i], widths[i + 1]))
            if i + 2 < len(widths):
                layers.append(nn.ReLU())
        model = nn.Sequential(*layers)
        return model, nn.BCEWithLogitsLoss() if sigmoid else nn.MSELoss(), self.torch.optim.SGD(model.parameters(), lr=0.05)

    def training(self, widths, points, batch, sigmoid):
        torch = self.torch
        model, loss, optimizer = self.network(widths, sigmoid)
        x, y = torch.rand(points, widths[0]), (torch.rand(points, widths[-1]) > 0.5).float()

        def step(xs, ys):
            optimizer.zero_grad(set_to_none=True)
            loss(model(xs), ys).backward()
            optimizer.step()

        def epoch():
            order = torch.randperm(points)
            for start in range(0, points, batch):
                rows = order[start:start + batch]
                step(x[rows], y[rows])
        return epoch if sigmoid else lambda: step(x, y)


class Numpy:
    """NumPy, with out= wherever a function has it. All that is timed here uses one thread."""

    threads = 1

    def __init__(self):
        import numpy
        self.np = numpy
        self.random = numpy.random.default_rng(1)
        self.version = numpy.__version__

    def held(self, _):
        return contextlib.nullcontext()

    def draw(self, sizes, low=-2, high=2):
        return self.random.uniform(low, high, sizes).astype(self.np.float32)

    def elementwise(self, work, sizes):
        np = self.np
        count = 2 if work in ZIPS else 1
        args = [self.draw(sizes, low, high) for low, high in DOMAINS.get(work, [(-2, 2)] * count)]
        out = np.empty(sizes, dtype=bool if work in COMPARISONS else np.float32)
        a, b = args[0], args[-1]

        def sigmoid():
            np.negative(a, out=out)
            np.exp(out, out=out)
            np.add(out, 1, out=out)
            np.reciprocal(out, out=out)

        def silu():
            sigmoid()
            np.multiply(out, a, out=out)
        special = {
            "relu": lambda: np.maximum(a, 0, out=out),
            "leaky_relu": lambda: np.maximum(a, np.multiply(a, 0.1, out=out), out=out),
            "sigmoid": sigmoid,
            "silu": silu,
            "softplus": lambda: np.logaddexp(a, 0, out=out),
            "clamp": lambda: np.clip(a, -1, 1, out=out),
            "scale": lambda: np.multiply(a, 0.1, out=out),
            "is_close": lambda: np.isclose(a, b),
        }
        if work in special:
            return special[work]
        names = {"neg": "negative", "inv": "reciprocal", "sub": "subtract", "mul": "multiply", "div": "divide",
                 "pow": "power", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
                 "eq": "equal", "ne": "not_equal", "abs": "absolute"}
        function = getattr(np, names.get(work, work), None)
        if function is None:
            return None
        return (lambda: function(a, b, out=out)) if work in ZIPS else (lambda: function(a, out=out))

    def reduction(self, name, where, sizes):
        x = self.draw(sizes, 0.5, 1.5)
        if name == "all":
            x = x > 0
        axis = None if where == "all" else int(where[-1])
        out = self.np.empty_like(getattr(self.np, name)(x, axis=axis))
        inner = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum", "all": "logical_and"}.get(name)
        function = getattr(self.np, inner).reduce if inner else getattr(x, name)
        return (lambda: function(x, axis=axis, out=out)) if inner else (lambda: function(axis=axis, out=out))

    def other(self, work, sizes):
        np = self.np
        x, out = self.draw(sizes), np.empty(sizes, np.float32)
        if work == "add row":
            row = self.draw(sizes[-1])
            return lambda: np.add(x, row, out=out)
        if work == "copy transposed":
            target = np.empty(sizes[::-1], np.float32)
            return lambda: np.copyto(target, x.T)
        return None

    def training(self, *_):
        return None


class Jax:
    """JAX: training alone, with the steps of an epoch in one compiled lax.scan. It takes every processor it may use,
    when it first computes."""

    threads = THREADS

    def __init__(self):
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        with as_many_processors():
            import jax
            jax.devices()
        self.jax = jax
        self.version = jax.__version__

    def held(self, _):
        return as_many_processors()

    def elementwise(self, *_):
        return None

    reduction = other = elementwise

    def training(self, widths, points, batch, sigmoid):
        jax, jnp = self.jax, self.jax.numpy
        keys = iter(jax.random.split(jax.random.PRNGKey(1), 2 * len(widths) + 4))
        weights = [(jax.random.uniform(next(keys), (m, n), minval=-m ** -0.5, maxval=m ** -0.5), jnp.zeros(n))
                   for m, n in zip(widths, widths[1:])]
        x = jax.random.uniform(next(keys), (points, widths[0]))
        y = (jax.random.uniform(next(keys), (points, widths[-1])) > 0.5).astype(jnp.float32)

        def loss(weights, xs, ys):
            for i, (w, b) in enumerate(weights):
                xs = xs @ w + b
                if i + 1 < len(weights):
                    xs = jax.nn.relu(xs)
            return jnp.mean(jax.nn.softplus(xs) - ys * xs) if sigmoid else jnp.mean((xs - ys) ** 2)

        def step(weights, rows):
            gradient = jax.grad(loss)(weights, x[rows], y[rows])
            return jax.tree_util.tree_map(lambda w, g: w - 0.05 * g, weights, gradient), 0

        @jax.jit
        def epoch(weights, key):
            order = jax.random.permutation(key, points) if sigmoid else jnp.arange(points)
            return jax.lax.scan(step, weights, order.reshape(-1, batch))[0]
        state = [weights, next(keys)]

        def body():
            state[0] = epoch(state[0], state[1])
            jax.block_until_ready(state[0])
        return body


TRAINING = ("toy epoch", "mlp step")


def prepare(peer, work, shape):
    if work in TRAINING:
        network, points, batch = shape.split(", ")
        widths = [int(width) for width in network.split("-")]
        return peer.training(widths, int(points.split()[0]), int(batch.split()[1]), work == "toy epoch")
    sizes = sizes_of(shape)
    name, _, where = work.partition(" ")
    if name in REDUCTIONS and where:
        return peer.reduction(name, where, sizes)
    return peer.other(work, sizes) if where else peer.elementwise(work, sizes)


def main():
    present, hello = {}, {}
    for name, kind in (("torch", Torch), ("numpy", Numpy), ("jax", Jax)):
        try:
            present[name] = kind()
            hello[name] = present[name].version
        except Exception as reason:  # a broken installation fails in many ways
            hello["no_" + name] = (str(reason) or type(reason).__name__).splitlines()[0][:100]
    print(json.dumps(hello), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        for name, peer in present.items():
            answer = {"engine": name, "threads": peer.threads}
            with peer.held(asked["work"] in TRAINING):
                body = prepare(peer, asked["work"], asked["shape"])
                if body is not None:
                    answer.update(measure(body))
                body = None
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
