#!/usr/bin/env python3
"""PyTorch's own operations, for the cases that gpu_numbers measured: `gpu_torch.py [--quick] < LINES`.

Reads gpu_numbers' lines, so that the cases cannot drift apart, and prints a line of the same what and case for each of ours.
Float32 without TF32, random data, buffers that together are twice the second-level cache, results into memory that is there;
up to 20 calls in a CUDA graph, timed with events. Training is the same networks on the same batches, gathered once an
epoch, gradients set to None: eagerly ("torch eager"), and with the steps of an epoch in a graph ("torch graph").
Where PyTorch sees no card a line says so; with --quick it then goes on, on the processor, to show that it runs.
"""
import gc
import json
import math
import re
import sys
import time

CALLS, SAMPLES, BUDGET, MOST_PIECES, MOST_GRAPHS = 20, 20, 0.06, 2000, 128
EPOCH_SECONDS, LEAST_EPOCHS, MOST_EPOCHS = 0.5, 5, 2000
RATE = 0.05
CASE = re.compile(r"^(.*) (\d+(?:x\d+)+)$")


def say(stage, what, case, by, **fields):
    print(json.dumps({"stage": stage, "what": what, "case": case, "by": by, **fields}), flush=True)


def quartiles(values):
    """The median and the quartiles of sorted values."""
    values = sorted(values)

    def at(share):
        place = share * (len(values) - 1)
        below = int(place)
        return values[below] + (place - below) * (values[min(below + 1, len(values) - 1)] - values[below])
    return {"us": 1e6 * at(0.5), "low_us": 1e6 * at(0.25), "high_us": 1e6 * at(0.75), "samples": len(values)}


class Clock:
    """Seconds of the device between moments: events on a card, the processor's clock without one."""

    def __init__(self, torch, device):
        self.torch, self.card = torch, device.type == "cuda"

    def mark(self):
        if not self.card:
            return time.perf_counter()
        event = self.torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def wait(self):
        if self.card:
            self.torch.cuda.synchronize()

    def between(self, first, last):
        return first.elapsed_time(last) * 1e-3 if self.card else last - first


# ---- operations ----

class Operands:
    """Tensors of which there is one for each piece; a piece is what one call works on."""

    def __init__(self, torch, device, l2, quick):
        self.torch, self.device, self.l2, self.quick = torch, device, l2, quick
        self.pieces = 1

    def set_bytes(self, count):
        wanted = math.ceil(2 * self.l2 / count)
        if wanted > CALLS:
            wanted = min(-(-wanted // CALLS) * CALLS, MOST_PIECES)
        self.pieces = 1 if self.quick else wanted

    def random(self, *shape):
        return self.torch.empty((self.pieces, *shape), device=self.device).uniform_(-1, 1)

    def empty(self, *shape):
        return self.torch.empty((self.pieces, *shape), device=self.device)


def product(torch, o, name, sizes):
    """ "nt 2x64x32x16": a batch of 2, m, n, k, and which operand lies transposed."""
    *batch, m, n, k = sizes
    o.set_bytes(4 * (batch or [1])[0] * (m * k + k * n + m * n))
    a = o.random(*batch, k, m).transpose(-1, -2) if name[0] == "t" else o.random(*batch, m, k)
    b = o.random(*batch, n, k).transpose(-1, -2) if name[1] == "t" else o.random(*batch, k, n)
    c = o.empty(*batch, m, n)
    return lambda i: torch.matmul(a[i], b[i], out=c[i])


def stream(torch, o, name, sizes):
    """What moves memory: a body for each name of gpu_numbers, on a matrix of rows x columns."""
    rows, columns = sizes
    other = {"add same": (rows, columns), "add row": (1, columns), "add column": (rows, 1), "add scalar": (1, 1)}.get(name)
    results = {"sum all": (), "sum rows": (rows,), "sum columns": (columns,), "transposed": (columns, rows)}
    result = results.get(name, (rows, columns))
    reads = name not in ("fill", "uniform")
    o.set_bytes(4 * ((rows * columns if reads else 0) + math.prod(other or (0,)) + math.prod(result)))
    x = o.random(rows, columns) if reads else None
    y = o.random(*other) if other else None
    out = o.empty(*result)
    index = torch.randperm(rows, device=o.device) if name == "take rows" else None
    bodies = {"relu": lambda i: torch.clamp_min(x[i], 0, out=out[i]),
              "exp": lambda i: torch.exp(x[i], out=out[i]),
              "sum all": lambda i: torch.sum(x[i], dim=(0, 1), out=out[i]),
              "sum rows": lambda i: torch.sum(x[i], dim=1, out=out[i]),
              "sum columns": lambda i: torch.sum(x[i], dim=0, out=out[i]),
              "contiguous": lambda i: out[i].copy_(x[i]),
              "transposed": lambda i: out[i].copy_(x[i].t()),
              "fill": lambda i: out[i].fill_(1.5),
              "uniform": lambda i: out[i].uniform_(-1, 1),
              "take rows": lambda i: torch.index_select(x[i], 0, index, out=out[i])}
    return (lambda i: torch.add(x[i], y[i], out=out[i])) if other else bodies.get(name)


def capture(torch, body, pool=None):
    """body() as a graph, or the sentence with which PyTorch refuses. pool: where its memory is from, of several graphs that
    leave nothing there for one another and never run at once."""
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            body()
        graph.replay()
        return graph, ""
    except RuntimeError as error:
        return None, str(error).split("\n")[0]


def time_body(torch, clock, body, pieces):
    """The fields of a line: samples of some calls each, which together go through the pieces again and again."""
    piece, began = 0, time.perf_counter()
    while piece < 3 or time.perf_counter() - began < (0.01 if clock.card else 0):
        body(piece % pieces)
        piece += 1
        clock.wait()
    first = clock.mark()
    body(0)
    last = clock.mark()
    clock.wait()
    once = max(clock.between(first, last), 1e-7)
    calls = max(1, min(CALLS, int(1e-3 / once))) if pieces > CALLS else pieces * max(1, min(CALLS, int(1e-3 / once)) // pieces)
    while pieces > CALLS and CALLS % calls:
        calls -= 1
    runs = [lambda at=at: [body((at + i) % pieces) for i in range(calls)] for at in range(0, max(pieces, 1), calls)]
    how = {"timing": "loop"}
    if clock.card:
        graphs, pool = [], torch.cuda.graph_pool_handle()
        for run in runs[:MOST_GRAPHS]:
            graph, sentence = capture(torch, run, pool)
            if graph is None:
                how["why_loop"] = sentence
                break
            graphs.append(graph)
        if len(graphs) == min(len(runs), MOST_GRAPHS):
            runs, how = [graph.replay for graph in graphs], {"timing": "graph"}
    clock.wait()
    moments = []
    for sample in range(max(3, min(max(SAMPLES, len(runs)), int(BUDGET / (once * calls))))):
        before = clock.mark()
        runs[sample % len(runs)]()
        moments.append((before, clock.mark()))
    clock.wait()
    return dict(quartiles([clock.between(*pair) / calls for pair in moments]), calls=calls, **how)


def operation(torch, clock, operands, line):
    found = CASE.match(line["case"])
    name, sizes = found.group(1), [int(size) for size in found.group(2).split("x")]
    body = (product if line["what"] == "matmul" else stream)(torch, operands, name, sizes)
    if body is None:
        raise KeyError(name)
    fields = time_body(torch, clock, body, operands.pieces)
    for name in ("flops", "bytes"):
        if name in line:
            fields[name] = line[name]
    say(line["stage"], line["what"], line["case"], "torch", **fields)


# ---- training ----

class Trainer:
    """The network of a case, "xor hidden H batch B" or "mlp A-B-C-D batch N", and its data; steps batches are an epoch."""

    def __init__(self, torch, device, case, steps):
        self.torch, self.steps = torch, steps
        self.batch = int(case.split()[-1])
        points = self.batch * steps
        if case.startswith("xor"):
            hidden = int(case.split()[2])
            widths = [2, hidden, hidden, 1]
            x = torch.rand(points, 2, device=device)
            y = ((x[:, :1] < 0.5) != (x[:, 1:] < 0.5)).float()
            self.loss = torch.nn.functional.binary_cross_entropy_with_logits
        else:
            widths = [int(width) for width in case.split()[1].split("-")]
            x, y = torch.rand(points, widths[0], device=device), torch.rand(points, widths[-1], device=device)
            self.loss = torch.nn.functional.mse_loss
        layers = []
        for fan_in, fan_out in zip(widths, widths[1:]):
            layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
        self.net = torch.nn.Sequential(*layers[:-1]).to(device)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=RATE)
        self.all, self.gathered, self.points, self.device = (x, y), (torch.empty_like(x), torch.empty_like(y)), points, device

    def gather(self):
        order = self.torch.randperm(self.points, device=self.device)
        for source, target in zip(self.all, self.gathered):
            self.torch.index_select(source, 0, order, out=target)

    def train(self):
        """The steps of an epoch."""
        for first in range(0, self.points, self.batch):
            x, y = (data[first:first + self.batch] for data in self.gathered)
            self.optimizer.zero_grad(set_to_none=True)
            self.loss(self.net(x), y).backward()
            self.optimizer.step()


def time_epochs(clock, trainer, work, quick):
    def epoch():
        trainer.gather()
        work()
    for _ in range(3):
        epoch()
    clock.wait()
    began = time.perf_counter()
    epoch()
    clock.wait()
    wanted = 0 if quick else int(EPOCH_SECONDS / max(time.perf_counter() - began, 1e-6))
    epochs = max(LEAST_EPOCHS, min(MOST_EPOCHS, wanted))
    began, moments = time.perf_counter(), [clock.mark()]
    for _ in range(epochs):
        epoch()
        moments.append(clock.mark())
    clock.wait()
    wall = (time.perf_counter() - began) / epochs / trainer.steps
    return dict(quartiles([clock.between(*pair) / trainer.steps for pair in zip(moments, moments[1:])]), wall_us=1e6 * wall,
                steps=trainer.steps)


def training(torch, clock, device, line, quick):
    where = (line["stage"], line["what"], line["case"])
    trainer = Trainer(torch, device, line["case"], int(line["steps"]))
    say(*where, "torch eager", **time_epochs(clock, trainer, trainer.train, quick))
    if not clock.card:
        say(*where, "torch graph", not_here="PyTorch sees no card, and graphs are of cards")
        return
    # What is captured must have run before, on another stream than the usual one.
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            trainer.train()
    torch.cuda.current_stream().wait_stream(side)
    trainer.optimizer.zero_grad(set_to_none=True)
    graph, sentence = capture(torch, trainer.train)
    if graph is None:
        say(*where, "torch graph", failed=sentence)
    else:
        say(*where, "torch graph", **time_epochs(clock, trainer, graph.replay, quick))


def main():
    quick = "--quick" in sys.argv[1:]
    if sys.argv[1:] not in ([], ["--quick"]):
        sys.exit(__doc__)
    lines = [json.loads(text) for text in sys.stdin if text.strip()]
    lines = [line for line in lines if line.get("by") == "ours" and "us" in line and line["stage"] in ("numbers", "training")]
    stage = lines[0]["stage"] if lines else "numbers"
    try:
        import torch
    except ImportError as error:
        say(stage, "PyTorch", "", "torch", not_here="it cannot be imported: %s" % error)
        return 0
    if not torch.cuda.is_available():
        say(stage, "PyTorch", torch.__version__, "torch", not_here="it sees no card" + (
            "; its figures here are the processor's" if quick else ""))
        if not quick:
            return 0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    l2 = getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 1 << 26) if device.type == "cuda" else 1 << 20
    # Every capture looks for garbage, and what an import leaves behind is most of what there is to be looked at.
    gc.collect()
    gc.freeze()
    clock, failed = Clock(torch, device), False
    for line in lines:
        try:
            if line["stage"] == "training":
                training(torch, clock, device, line, quick)
            else:
                with torch.no_grad():
                    operation(torch, clock, Operands(torch, device, l2, quick), line)
        except (RuntimeError, KeyError, ValueError, AttributeError) as error:
            failed = True
            sentence = "%s: %s" % (type(error).__name__, str(error).split("\n")[0])
            say(line["stage"], line["what"], line["case"], "torch", failed=sentence)
            if "CUDA error" in str(error):
                break  # nothing works after it in this process
            if device.type == "cuda":
                torch.cuda.empty_cache()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
