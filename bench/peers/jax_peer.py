#!/usr/bin/env python3
"""JAX on the bench's workloads: time per training step on the CPU, in JAX's best configuration.

  jax_peer.py [--workloads W1,W5-32,...] [--blocks N] [--json FILE]   time
                                        [--first-step]         and from a new process to its loss
  jax_peer.py --weights DIR [--x64]                            check loss curves, no timing

`step` is one jit call per step with donated buffers, loss left unread; `step_read` reads each loss
back as a float; `steps` is many steps in one call (lax.fori_loop). Each configuration runs in a
process of its own, as XLA reads settings once: 1 or 2 threads, dispatch asynchronous or inline.

DIR is a training of tests/fixtures: the same steps from the same weights are run by JAX, and the
first losses and the largest differences from the stored curves printed; exit 1 if they differ.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

CONFIGS = [f"{threads}-thread/{dispatch}" for threads in (1, 2) for dispatch in ("async", "inline")]
# So small that no weight moves: every step does the same work, and nothing becomes denormal.
LEARNING_RATE = 1e-9
WORKLOADS = {
    w["name"]: w | dict(sizes=w["sizes"] * (w.get("repeat", 0) + 1))
    for w in json.loads((pathlib.Path(__file__).parents[1] / "workloads.json").read_text())}
OPTIMIZERS = {
    "sgd": dict(optimizer="sgd", lr=LEARNING_RATE, momentum=0.0),
    "adam": dict(optimizer="adam", lr=LEARNING_RATE, betas=[0.9, 0.999], eps=1e-8),
}


def make_step(loss_kind, run, activation="relu"):
    """step(params, state, x, y) -> (params, state, loss); params are [(w, b), ...], w [out, in]."""
    import jax
    import jax.numpy as jnp

    def loss_fn(params, x, y):
        for w, b in params[:-1]:
            x = getattr(jax.nn, activation)(x @ w.T + b)
        w, b = params[-1]
        z = x @ w.T + b
        if loss_kind == "mse":
            return jnp.mean((z - y) ** 2)
        log_p = jax.nn.log_softmax(z)
        return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], axis=1))

    def sgd(params, state, grads):
        if not run["momentum"]:
            return jax.tree.map(lambda p, g: p - run["lr"] * g, params, grads), state
        # A buffer of zeros makes the first step's buffer the gradient itself, as in PyTorch.
        state = jax.tree.map(lambda s, g: run["momentum"] * s + g, state, grads)
        return jax.tree.map(lambda p, s: p - run["lr"] * s, params, state), state

    def adam(params, state, grads):
        m, v, t = state
        b1, b2 = run["betas"]
        t = t + 1
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, grads)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, grads)
        size = run["lr"] / (1 - b1**t)
        root = jnp.sqrt(1 - b2**t)
        update = lambda p, m, v: p - size * m / (jnp.sqrt(v) / root + run["eps"])
        return jax.tree.map(update, params, m, v), (m, v, t)

    update = {"sgd": sgd, "adam": adam}[run["optimizer"]]

    def step(params, state, x, y):
        loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
        params, state = update(params, state, grads)
        return params, state, loss

    return step


def initial_state(run, params):
    import jax
    import jax.numpy as jnp

    zeros = lambda: jax.tree.map(jnp.zeros_like, params)
    if run["optimizer"] == "adam":
        return zeros(), zeros(), jnp.zeros((), params[0][0].dtype)
    return zeros() if run["momentum"] else ()


# ---- timing ----


def time_blocks(body, steps, blocks):
    """us per step of each block, after one block that is not counted."""
    times = []
    for _ in range(blocks + 1):
        start = time.perf_counter()
        body()
        times.append((time.perf_counter() - start) / steps * 1e6)
    return times[1:]


def make_training(spec, run):
    """(fresh, x, y): fresh() makes [params, state, loss]."""
    import jax.numpy as jnp
    import numpy as np

    rng = np.random.default_rng(1)
    sizes, batch = spec["sizes"], spec["batch"]

    def fresh():
        uniform = lambda fan_in, shape: jnp.asarray(
            rng.uniform(-(fan_in**-0.5), fan_in**-0.5, shape), jnp.float32)
        params = [(uniform(i, (o, i)), uniform(i, (o,))) for i, o in zip(sizes, sizes[1:])]
        return [params, initial_state(run, params), jnp.zeros(())]

    if spec["loss"] == "mse":
        # W3: one batch again and again, without the loader that Sinter's figure includes.
        x = jnp.linspace(-1, 1, batch * sizes[0]).reshape(batch, sizes[0])
        noise = jnp.asarray(rng.uniform(0, 1, (batch, sizes[-1])), jnp.float32)
        y = x[:, :1] ** 2 + 0.2 * noise
    else:
        x = jnp.asarray(rng.uniform(0, 1, (batch, sizes[0])), jnp.float32)
        y = jnp.asarray(rng.integers(0, sizes[-1], batch), jnp.int32)
    return fresh, x, y


def time_workload(spec, run, blocks):
    """{"step" | "step_read" | "steps": us per step of each block}."""
    import jax
    import numpy as np

    fresh, x, y = make_training(spec, run)
    step = make_step(spec["loss"], run, spec.get("activation", "relu"))
    one = jax.jit(step, donate_argnums=(0, 1))
    loop = lambda params, state, loss, x, y: jax.lax.fori_loop(
        0, spec["per_call"], lambda _, c: step(c[0], c[1], x, y), (params, state, loss))
    many = jax.jit(loop, donate_argnums=(0, 1, 2))

    def block_of_steps():
        for _ in range(spec["per_call"]):
            held[:] = one(held[0], held[1], x, y)
        jax.block_until_ready(held)

    def block_of_reads():
        for _ in range(spec["per_call"]):
            held[:] = one(held[0], held[1], x, y)
            float(held[2])

    def block_in_one_call():
        held[:] = many(*held, x, y)
        jax.block_until_ready(held)

    times = {}
    for name, body in (("step", block_of_steps), ("step_read", block_of_reads),
                       ("steps", block_in_one_call)):
        held = fresh()
        times[name] = time_blocks(body, spec["per_call"], blocks)
        if not np.isfinite(float(held[2])):
            sys.exit(f"the loss is {float(held[2])}")
    return times


def first_step_child(workload):
    import jax

    jax.config.update("jax_platforms", "cpu")
    spec, run = WORKLOADS[workload], OPTIMIZERS["sgd"]
    fresh, x, y = make_training(spec, run)
    params, state, _ = fresh()
    one = jax.jit(make_step(spec["loss"], run), donate_argnums=(0, 1))
    print(float(one(params, state, x, y)[2]), flush=True)


def time_first_step(workload, repeats):
    """ms from starting a process to the loss of its first step, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        command = [sys.executable, __file__, "--first-step-child", workload]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        child.stdout.readline()
        times.append((time.perf_counter() - start) * 1e3)
        child.stdout.read()
        if child.wait():
            sys.exit(f"the first step of {workload} failed")
    return times[1:]


def run_config(args):
    """Times every workload in this process, under one configuration; JSON to stdout."""
    threads, dispatch = args.config.split("-thread/")
    cores = sorted(os.sched_getaffinity(0))[: int(threads)]
    os.sched_setaffinity(0, cores)
    if threads == "1":
        flags = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
        os.environ["XLA_FLAGS"] = flags.strip()
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_cpu_enable_async_dispatch", dispatch == "async")
    out = {}
    for workload in args.workloads.split(","):
        for name in WORKLOADS[workload]["optimizers"]:
            spec, run = WORKLOADS[workload], OPTIMIZERS[name]
            for key, times in time_workload(spec, run, args.blocks).items():
                out[f"{workload}/{name}/{key}"] = times
    json.dump(out, sys.stdout)


def time_all(args):
    unknown = set(args.workloads.split(",")) - set(WORKLOADS)
    if unknown:
        sys.exit(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    workloads = {}
    for config in args.configs.split(","):
        if int(config[0]) > len(os.sched_getaffinity(0)):
            continue
        command = [sys.executable, __file__, "--config", config, "--workloads", args.workloads,
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
    from importlib.metadata import version

    result = dict(peer="JAX", version=version("jax"), blocks=args.blocks, workloads=workloads)
    if args.first_step:
        times = {w: time_first_step(w, repeats=3) for w in args.workloads.split(",")}
        result["first_step"] = {
            f"{w}/first_step_ms": dict(ms_median=round(statistics.median(t), 1),
                                       ms_min=round(min(t), 1)) for w, t in times.items()}
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        pathlib.Path(args.json).write_text(text + "\n")


# ---- checking the loss curves ----


def check_curves(args):
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", args.x64)
    import jax.numpy as jnp
    import numpy as np

    dtype = jnp.float64 if args.x64 else jnp.float32
    folder = pathlib.Path(args.weights)
    spec = json.loads((folder / "training.json").read_text())
    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    y = y.astype(np.int32) if y.dtype == np.int64 else y.astype(dtype)

    def load(where):
        parts = ("weight", "bias")
        return [tuple(np.load(where / f"{layer}.{part}.npy") for part in parts)
                for layer in spec["layers"]]

    result, good = {}, True
    for name, run in spec["runs"].items():
        params = jax.tree.map(lambda p: jnp.asarray(p, dtype), load(folder))
        state, losses = initial_state(run, params), []
        step = jax.jit(make_step(spec["loss"], run))
        for _ in range(run["epochs"]):
            for i in range(0, len(x), run["batch"]):
                xb, yb = x[i : i + run["batch"]].astype(dtype), y[i : i + run["batch"]]
                params, state, loss = step(params, state, xb, yb)
                losses.append(float(loss))
        stored = np.load(folder / name / "losses.npy")
        loss_difference = float(np.abs(np.array(losses) - stored).max())
        pairs = zip(jax.tree.leaves(params), jax.tree.leaves(load(folder / name)))
        weight_difference = max(float(np.abs(np.asarray(a) - b).max()) for a, b in pairs)
        # In float32, Adam divides by near-zero roots: single weights may part further than losses.
        agrees = (max(loss_difference, weight_difference) < 1e-10 if args.x64
                  else loss_difference < 1e-5 and weight_difference < 1e-3)
        good &= agrees
        result[name] = dict(agrees=agrees, loss_difference=loss_difference,
                            weight_difference=weight_difference, first_losses=losses[:20])
    print(json.dumps(result, indent=1))
    sys.exit(0 if good else 1)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="default: %(default)s")
    parser.add_argument("--configs", default=",".join(CONFIGS), help="default: %(default)s")
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
        first_step_child(args.first_step_child)
    elif args.config:
        run_config(args)
    elif args.weights:
        check_curves(args)
    else:
        time_all(args)


if __name__ == "__main__":
    main()
