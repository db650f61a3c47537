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
import os
import sys

import framework_peer
from framework_peer import time_blocks

CONFIGS = [f"{threads}-thread/{dispatch}" for threads in (1, 2) for dispatch in ("async", "inline")]


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


def start(run, weights):
    """[params, state, loss] from numpy arrays."""
    import jax
    import jax.numpy as jnp

    params = jax.tree.map(jnp.asarray, weights)
    return [params, initial_state(run, params), jnp.zeros((), params[0][0].dtype)]


def as_jax(x, y):
    import jax.numpy as jnp
    import numpy as np

    return jnp.asarray(x), jnp.asarray(y.astype(np.int32) if y.dtype == np.int64 else y)


def configure(config):
    if config and config.startswith("1-"):
        flags = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
        os.environ["XLA_FLAGS"] = flags.strip()
    import jax

    jax.config.update("jax_platforms", "cpu")
    if config:
        jax.config.update("jax_cpu_enable_async_dispatch", config.endswith("/async"))


def time_workload(spec, run, blocks, config):
    import jax
    import numpy as np

    weights, x, y = framework_peer.make_data(spec)
    x, y = as_jax(x, y)
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
        held = start(run, weights)
        times[name] = time_blocks(body, spec["per_call"], blocks)
        if not np.isfinite(float(held[2])):
            sys.exit(f"the loss is {float(held[2])}")
    return times


def first_loss(spec, run):
    import jax

    weights, x, y = framework_peer.make_data(spec)
    params, state, _ = start(run, weights)
    one = jax.jit(make_step(spec["loss"], run), donate_argnums=(0, 1))
    return float(one(params, state, *as_jax(x, y))[2])


def train(spec, run, weights, batches, config):
    import jax
    import numpy as np

    jax.config.update("jax_enable_x64", weights[0][0].dtype == np.float64)
    params, state, _ = start(run, weights)
    step, losses = jax.jit(make_step(spec["loss"], run)), []
    for x, y in batches:
        params, state, loss = step(params, state, *as_jax(x, y))
        losses.append(float(loss))
    return losses, jax.tree.map(np.asarray, params)


if __name__ == "__main__":
    framework_peer.main(
        framework_peer.Framework("JAX", "jax", CONFIGS, configure, time_workload, first_loss, train,
                                 checked_configs=[None]), __doc__)
