#!/usr/bin/env python3
"""PyTorch on the bench's workloads: time per training step on the CPU, in its best configuration.

  torch_peer.py [--workloads W1,W5-32,...] [--blocks N] [--json FILE]   time
                                        [--first-step]         and from a new process to its loss
  torch_peer.py --weights DIR [--x64]                          check loss curves, no timing

`step` is forward, backward and update with the loss left unread; `step_read` reads each loss back
as a float. Each configuration runs in a process of its own, on 1 or 2 threads: eager with the
optimizer that PyTorch takes by itself on a CPU (a loop over the parameters), with foreach=True and
with fused=True; and torch.compile of forward and loss, with the fused optimizer. One that this
PyTorch cannot run here is left out, with its reason on stderr.

DIR is a training of tests/fixtures, run from the same weights in every one of these ways: exit 1 if
losses or final weights differ from the stored ones.
"""
import sys

import framework_peer
from framework_peer import time_blocks

WAYS = ["eager", "foreach", "fused", "compile"]
CONFIGS = [f"{threads}-thread/{way}" for threads in (1, 2) for way in WAYS]


def make_optimizer(run, parameters, way):
    import torch

    options = dict(foreach={"foreach": True}, fused={"fused": True}, compile={"fused": True})
    options = options.get(way, {})
    if run["optimizer"] == "sgd":
        return torch.optim.SGD(parameters, lr=run["lr"], momentum=run["momentum"], **options)
    return torch.optim.Adam(parameters, lr=run["lr"], betas=tuple(run["betas"]), eps=run["eps"],
                            **options)


def make_step(spec, run, weights, way):
    """(step, net): step(x, y) trains once and returns the loss, a tensor."""
    import torch
    from torch import nn

    activation = {"relu": nn.ReLU, "tanh": nn.Tanh}[spec.get("activation", "relu")]
    layers = []
    for w, b in weights:
        layer = nn.Linear(w.shape[1], w.shape[0], dtype=torch.from_numpy(w).dtype)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(w))
            layer.bias.copy_(torch.from_numpy(b))
        layers += [layer, activation()]
    net = nn.Sequential(*layers[:-1])
    loss_of = nn.functional.mse_loss if spec["loss"] == "mse" else nn.functional.cross_entropy
    forward = lambda x, y: loss_of(net(x), y)
    if way == "compile":
        # Forgets what was compiled for other nets: past a few, it would go on without compiling.
        torch.compiler.reset()
        # All of it or an error, and each batch size by itself rather than for any.
        forward = torch.compile(forward, fullgraph=True, dynamic=False)
    optimizer = make_optimizer(run, net.parameters(), way)

    def step(x, y):
        optimizer.zero_grad()
        loss = forward(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return step, net


def first_step(spec, run, weights, x, y, config):
    """(step, net, loss of the first step), or None with the reason on stderr."""
    way = config.split("/")[1]
    try:
        step, net = make_step(spec, run, weights, way)
        return step, net, step(x, y).item()
    except Exception as error:  # The compiler raises errors of many kinds.
        if way == "eager":
            raise
        reason = str(error).strip().split("\n")[0]
        print(f"PyTorch {config} left out, as it cannot run here: {reason}", file=sys.stderr)
        return None


def configure(config):
    import torch

    if config:
        torch.set_num_threads(int(config.split("-")[0]))


def time_workload(spec, run, blocks, config):
    import math

    import torch

    weights, x, y = framework_peer.make_data(spec)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    started = first_step(spec, run, weights, x, y, config)
    if not started:
        return {}
    step, last = started[0], [0.0]

    def block_of_steps():
        for _ in range(spec["per_call"]):
            last[0] = step(x, y)

    def block_of_reads():
        for _ in range(spec["per_call"]):
            last[0] = step(x, y).item()

    times = {}
    for name, body in (("step", block_of_steps), ("step_read", block_of_reads)):
        times[name] = time_blocks(body, spec["per_call"], blocks)
        loss = torch.as_tensor(last[0]).item()
        if not math.isfinite(loss):
            sys.exit(f"the loss is {loss}")
    return times


def first_loss(spec, run):
    import torch

    weights, x, y = framework_peer.make_data(spec)
    step, _ = make_step(spec, run, weights, "eager")
    return step(torch.from_numpy(x), torch.from_numpy(y)).item()


def train(spec, run, weights, batches, config):
    import torch

    batches = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in batches]
    started = first_step(spec, run, weights, *batches[0], config)
    if not started:
        return None
    step, net, loss = started
    losses = [loss] + [step(x, y).item() for x, y in batches[1:]]
    parameters = [p.detach().numpy() for p in net.parameters()]
    return losses, list(zip(parameters[::2], parameters[1::2]))


if __name__ == "__main__":
    framework_peer.main(
        framework_peer.Framework("PyTorch", "torch", CONFIGS, configure, time_workload, first_loss,
                                 train, checked_configs=[f"2-thread/{way}" for way in WAYS]),
        __doc__)
