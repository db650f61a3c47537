"""What the peers in Python share: the workloads, their data, the command line and the JSON.

A peer is an instance of Framework. Each of its configurations is timed in a process of its own, on
as many cores as it has threads, since frameworks read settings once. The command line is that of
jax_peer.py --help.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

# So small that no weight moves: every step does the same work, and nothing becomes denormal.
LEARNING_RATE = 1e-9
WORKLOADS = {
    w["name"]: w | dict(sizes=w["sizes"] * (w.get("repeat", 0) + 1))
    for w in json.loads((pathlib.Path(__file__).parents[1] / "workloads.json").read_text())}
OPTIMIZERS = {
    "sgd": dict(optimizer="sgd", lr=LEARNING_RATE, momentum=0.0),
    "adam": dict(optimizer="adam", lr=LEARNING_RATE, betas=[0.9, 0.999], eps=1e-8),
}


@dataclasses.dataclass
class Framework:
    """Weights are [(w, b), ...] of numpy arrays, w [out, in]; spec and run are as in WORKLOADS and
    OPTIMIZERS, or as in a training.json."""
    name: str  # as in the table
    package: str
    configs: list[str]  # each starts with its number of threads: "1-thread/..."
    # Settings of this process, before the framework is imported; None stands for its defaults.
    configure: Callable[[str | None], None]
    # (spec, run, blocks, config) -> {"step" | "step_read" | "steps": us per step of each block};
    # nothing where the configuration cannot run
    time_workload: Callable
    # (spec, run) -> the loss of one step by the framework's defaults
    first_loss: Callable
    # (spec, run, weights, batches of (x, y), config) -> (losses, weights after them), or None
    train: Callable
    # Those whose results differ by more than the speed.
    checked_configs: list[str | None]


# ---- timing ----


def time_blocks(body, steps, blocks):
    """us per step of each block, after one block that is not counted."""
    times = []
    for _ in range(blocks + 1):
        start = time.perf_counter()
        body()
        times.append((time.perf_counter() - start) / steps * 1e6)
    return times[1:]


def make_data(spec):
    """(weights, x, y) of a workload: float32, and int64 labels."""
    import numpy as np

    rng = np.random.default_rng(1)
    sizes, batch = spec["sizes"], spec["batch"]
    uniform = lambda low, high, shape: rng.uniform(low, high, shape).astype(np.float32)
    weights = [tuple(uniform(-(i**-0.5), i**-0.5, shape) for shape in ((o, i), (o,)))
               for i, o in zip(sizes, sizes[1:])]
    if spec["loss"] == "mse":
        # W3: one batch again and again, without the loader that Sinter's figure includes.
        x = np.linspace(-1, 1, batch * sizes[0], dtype=np.float32).reshape(batch, sizes[0])
        y = x[:, :1] ** 2 + np.float32(0.2) * uniform(0, 1, (batch, sizes[-1]))
    else:
        x = uniform(0, 1, (batch, sizes[0]))
        y = rng.integers(0, sizes[-1], batch)
    return weights, x, y


def time_first_step(script, workload, repeats):
    """ms from starting a process to the loss of its first step, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        command = [sys.executable, script, "--first-step-child", workload]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        child.stdout.readline()
        times.append((time.perf_counter() - start) * 1e3)
        child.stdout.read()
        if child.wait():
            sys.exit(f"the first step of {workload} failed")
    return times[1:]


def run_config(framework, args):
    """Times every workload in this process, under one configuration; JSON to stdout."""
    threads = int(args.config.split("-")[0])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    framework.configure(args.config)
    out = {}
    for workload in args.workloads.split(","):
        for name in WORKLOADS[workload]["optimizers"]:
            spec, run = WORKLOADS[workload], OPTIMIZERS[name]
            timed = framework.time_workload(spec, run, args.blocks, args.config)
            for key, times in timed.items():
                out[f"{workload}/{name}/{key}"] = times
    json.dump(out, sys.stdout)


def time_all(framework, args):
    unknown = set(args.workloads.split(",")) - set(WORKLOADS)
    if unknown:
        sys.exit(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    workloads = {}
    for config in args.configs.split(","):
        if int(config[0]) > len(os.sched_getaffinity(0)):
            continue
        command = [sys.executable, sys.argv[0], "--config", config, "--workloads", args.workloads,
                   "--blocks", str(args.blocks)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"configuration {config} failed")
        for key, times in json.loads(done.stdout).items():
            median, least = statistics.median(times), min(times)
            figures = dict(us_median=round(median, 3), us_min=round(least, 3))
            workloads.setdefault(key, dict(configs={}))["configs"][config] = figures
    for entry in workloads.values():
        # The peer's best configuration is what Sinter has to beat.
        best = min(entry["configs"], key=lambda c: entry["configs"][c]["us_median"])
        entry |= dict(best=best, **entry["configs"][best])
    result = dict(peer=framework.name, version=version(framework.package), blocks=args.blocks,
                  workloads=workloads)
    if args.first_step:
        times = {w: time_first_step(sys.argv[0], w, repeats=3) for w in args.workloads.split(",")}
        result["first_step"] = {
            f"{w}/first_step_ms": dict(ms_median=round(statistics.median(t), 1),
                                       ms_min=round(min(t), 1)) for w, t in times.items()}
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        pathlib.Path(args.json).write_text(text + "\n")


# ---- checking the loss curves ----


def check_curves(framework, args):
    framework.configure(None)
    import numpy as np

    dtype = np.float64 if args.x64 else np.float32
    folder = pathlib.Path(args.weights)
    spec = json.loads((folder / "training.json").read_text())
    x, y = np.load(folder / "x.npy").astype(dtype), np.load(folder / "y.npy")
    y = y if y.dtype == np.int64 else y.astype(dtype)

    def load(where):
        return [tuple(np.load(where / f"{layer}.{part}.npy") for part in ("weight", "bias"))
                for layer in spec["layers"]]

    result, good = {}, True
    for name, run in spec["runs"].items():
        batches = [(x[i : i + run["batch"]], y[i : i + run["batch"]])
                   for i in range(0, len(x), run["batch"])] * run["epochs"]
        stored = np.load(folder / name / "losses.npy")
        for config in framework.checked_configs:
            start = [tuple(p.astype(dtype) for p in layer) for layer in load(folder)]
            trained = framework.train(spec, run, start, batches, config)
            if not trained:
                continue
            losses, weights = trained
            loss_difference = float(np.abs(np.array(losses) - stored).max())
            weight_difference = max(float(np.abs(a - b).max())
                                    for layers in zip(weights, load(folder / name))
                                    for a, b in zip(*layers))
            # In float32, Adam divides by near-zero roots: single weights may part further.
            agrees = (max(loss_difference, weight_difference) < 1e-10 if args.x64
                      else loss_difference < 1e-5 and weight_difference < 1e-3)
            good &= agrees
            result[f"{name}, {config}" if config else name] = dict(
                agrees=agrees, loss_difference=loss_difference,
                weight_difference=weight_difference, first_losses=losses[:20])
    print(json.dumps(result, indent=1))
    sys.exit(0 if good else 1)


def main(framework, description):
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="default: %(default)s")
    parser.add_argument("--configs", default=",".join(framework.configs),
                        help="default: %(default)s")
    parser.add_argument("--blocks", type=int, default=9, help="timed blocks (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE as well")
    parser.add_argument("--weights", metavar="DIR", help="check the loss curves of this training")
    parser.add_argument("--x64", action="store_true", help="with --weights: compute in float64")
    parser.add_argument("--first-step", action="store_true",
                        help="time a new process to its first step, too")
    parser.add_argument("--first-step-child", help=argparse.SUPPRESS)
    parser.add_argument("--config", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.first_step_child:
        framework.configure(None)
        spec = WORKLOADS[args.first_step_child]
        print(framework.first_loss(spec, OPTIMIZERS["sgd"]), flush=True)
    elif args.config:
        run_config(framework, args)
    elif args.weights:
        check_curves(framework, args)
    else:
        time_all(framework, args)
