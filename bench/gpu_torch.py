#!/usr/bin/env python3
"""run_fast's training in PyTorch on the GPU: `gpu_torch.py HIDDEN POINTS BATCH EPOCHS`, seconds an epoch as JSON.

The same work as `run_fast --backend gpu`: a 2-H-H-1 network (relu, relu, sigmoid), SGD, batches taken from data that lie on
the device. Once eagerly, once with the step captured as a CUDA graph and replayed.
"""
import json
import sys
import time

import torch


def main():
    hidden, points, batch, epochs = (int(text) for text in sys.argv[1:5])
    device = torch.device("cuda")
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    net = torch.nn.Sequential(torch.nn.Linear(2, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, hidden), torch.nn.ReLU(),
                              torch.nn.Linear(hidden, 1), torch.nn.Sigmoid()).to(device)
    x = torch.rand(points, 2, device=device)
    y = ((x[:, :1] < 0.5) != (x[:, 1:] < 0.5)).float()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    batch_x, batch_y = x[:batch].clone(), y[:batch].clone()

    def step():
        optimizer.zero_grad(set_to_none=False)
        loss = torch.nn.functional.binary_cross_entropy(net(batch_x), batch_y)
        loss.backward()
        optimizer.step()

    def seconds_an_epoch(once):
        def run(count):
            for _ in range(count):
                order = torch.randperm(points, device=device)
                for first in range(0, points - batch + 1, batch):
                    chosen = order[first:first + batch]
                    batch_x.copy_(x[chosen])
                    batch_y.copy_(y[chosen])
                    once()
            torch.cuda.synchronize()
        run(3)
        start = time.perf_counter()
        run(epochs)
        return (time.perf_counter() - start) / epochs

    eager = seconds_an_epoch(step)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    print(json.dumps({"torch": torch.__version__, "eager": eager, "graph": seconds_an_epoch(graph.replay)}))


main()
