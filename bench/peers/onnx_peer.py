#!/usr/bin/env python3
"""ONNX Runtime (ORT) on the bench's workloads: time per training step, in its best configuration.

  onnx_peer.py [--workloads W1,W5-32,...] [--blocks N] [--json FILE]   time
                                        [--first-step]         and from a new process to its loss
  onnx_peer.py --weights DIR [--x64]                           check loss curves, no timing

The whole step, with gradients and update, is one graph of standard ops; weights and the optimizer's
state are inputs and outputs, in two sets of buffers that take turns, so that nothing is copied.
`step` is one run a step, loss left unread; `step_read` reads each loss as a float; `steps` is many
steps in one run, by the op Loop. Each configuration runs in a process of its own, on 1 or 2
threads: `matrices` updates each matrix by itself and all biases as one vector, `flat` all
parameters as one vector, which takes fewer ops but copies. SGD without momentum is part of the
products of the gradients, W - lr dZ^T X, so that it has `matrices` only.

DIR is a training of tests/fixtures, run from the same weights in both of these ways: exit 1 if
losses or final weights differ from the stored ones.
"""
import math
import sys

import framework_peer
from framework_peer import time_blocks

WAYS = ["matrices", "flat"]
CONFIGS = [f"{threads}-thread/{way}" for threads in (1, 2) for way in WAYS]
# What this version of ORT reads, not what onnx would write by itself.
OPSET, IR_VERSION = 21, 10


class Graph:
    """Nodes and constants; a value is its name."""

    def __init__(self, dtype):
        self.dtype, self.nodes, self.constants = dtype, [], {}

    def op(self, kind, *inputs, outputs=1, **attributes):
        from onnx import helper

        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value, dtype=None):
        import numpy as np
        from onnx import numpy_helper

        array = np.asarray(value, dtype or self.dtype)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self.constants:
            name = f"constant_{len(self.constants)}"
            self.constants[key] = numpy_helper.from_array(array, name)
        return self.constants[key].name

    def type_of(self, name, array):
        from onnx import helper

        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        return helper.make_tensor_value_info(name, kind, array.shape)


# ---- the step ----


def is_plain_sgd(run):
    return run["optimizer"] == "sgd" and not run["momentum"]


def groups_of(run, way, layers):
    """Which of the parameters w0, b0, w1, b1, ... are updated as one, by their numbers."""
    if is_plain_sgd(run):
        return [[i] for i in range(2 * layers)]
    if way == "flat":
        return [list(range(2 * layers))]
    return [[i] for i in range(0, 2 * layers, 2)] + [list(range(1, 2 * layers, 2))]


def initial_state(run, way, weights):
    """Arrays that a step takes and returns: the groups, then the optimizer's state of each."""
    import numpy as np

    parameters = [p for w, b in weights for p in (w, b[None])]
    groups = [parameters[g[0]] if len(g) == 1
              else np.concatenate([parameters[i].ravel() for i in g])
              for g in groups_of(run, way, len(weights))]
    zeros = [np.zeros_like(g) for g in groups]
    if run["optimizer"] == "adam":
        return groups + zeros * 2 + [np.zeros((), weights[0][0].dtype)] * 2
    return groups + (zeros if run["momentum"] else [])


def weights_of(state, run, way, shapes):
    """[(w, b), ...] of what initial_state laid out."""
    import numpy as np

    parameters = [None] * len(shapes)
    for group, array in zip(groups_of(run, way, len(shapes) // 2), state):
        ends = np.cumsum([math.prod(shapes[i]) for i in group])[:-1]
        for i, part in zip(group, np.split(array.ravel(), ends)):
            parameters[i] = part.reshape(shapes[i])
    return [(w, b[0]) for w, b in zip(parameters[::2], parameters[1::2])]


def split_groups(graph, groups, state, shapes):
    import numpy as np

    parameters = [None] * len(shapes)
    for group, held in zip(groups, state):
        if len(group) == 1:
            parameters[group[0]] = held
            continue
        sizes = graph.constant([math.prod(shapes[i]) for i in group], np.int64)
        parts = graph.op("Split", held, sizes, outputs=len(group), axis=0)
        for i, part in zip(group, parts):
            # A bias is added as well without its axis of 1.
            parameters[i] = part if i % 2 else graph.op(
                "Reshape", part, graph.constant(shapes[i], np.int64))
    return parameters


def add_loss(graph, kind, z, y, batch, outputs):
    """(loss, its derivative by z but for a factor, the factor)."""
    import numpy as np

    if kind == "mse":
        error = graph.op("Sub", z, y)
        total, count = graph.op("ReduceSumSquare", error, keepdims=0), batch * outputs
        return graph.op("Mul", total, graph.constant(1 / count)), error, 2 / count
    log_p = graph.op("LogSoftmax", z, axis=1)
    total = graph.op("ReduceSum", graph.op("GatherElements", log_p, y, axis=1), keepdims=0)
    error = graph.op("ScatterElements", graph.op("Exp", log_p), y,
                     graph.constant(np.full((batch, 1), -1)), axis=1, reduction="add")
    return graph.op("Mul", total, graph.constant(-1 / batch)), error, 1 / batch


def add_derivative(graph, activation, h, dh):
    """The derivative by what led to h, from that by h."""
    from onnx import TensorProto, helper

    if activation == "tanh":
        square = graph.op("Mul", h, h)
        return graph.op("Mul", dh, graph.op("Sub", graph.constant(1), square))
    # Of a relu's results, those that are not 0 are positive. Where and Sign are many times slower.
    positive = graph.op("Cast", h, to=TensorProto.BOOL)
    kind = helper.np_dtype_to_tensor_dtype(graph.dtype)
    return graph.op("Mul", dh, graph.op("Cast", positive, to=kind))


def add_step(graph, spec, run, way, shapes, batch, state):
    """Adds a step on the inputs x and y; (names of the next state, name of the loss)."""
    import numpy as np

    layers = len(shapes) // 2
    groups = groups_of(run, way, layers)
    parameters = split_groups(graph, groups, state, shapes)
    activation = spec.get("activation", "relu")
    forward = lambda i: graph.op("Gemm", h[i], *parameters[2 * i : 2 * i + 2], transB=1)
    h = ["x"]
    for i in range(layers - 1):
        # ORT makes one op of the two.
        h.append(graph.op(activation.capitalize(), forward(i)))
    z = forward(layers - 1)
    loss, dz, factor = add_loss(graph, spec["loss"], z, "y", batch, shapes[-1][1])
    if is_plain_sgd(run):
        factor *= -run["lr"]
    if graph.dtype == np.float64:
        # An attribute of an op is a float32.
        dz, factor = graph.op("Mul", dz, graph.constant(factor)), 1.0
    ones = graph.constant(np.ones((1, batch)))
    results = [None] * len(shapes)
    for i in reversed(range(layers)):
        for k, a, b in ((2 * i, dz, h[i]), (2 * i + 1, ones, dz)):
            plus = [parameters[k]] if is_plain_sgd(run) else []
            results[k] = graph.op("Gemm", a, b, *plus, transA=int(a == dz), alpha=factor)
        if i:
            dz = add_derivative(graph, activation, h[i],
                                graph.op("Gemm", dz, parameters[2 * i]))
    if is_plain_sgd(run):
        return results, loss
    flat = lambda i: graph.op("Reshape", results[i], graph.constant([-1], np.int64))
    gradients = [results[g[0]] if len(g) == 1 else graph.op("Concat", *map(flat, g), axis=0)
                 for g in groups]
    update = add_adam if run["optimizer"] == "adam" else add_momentum
    return update(graph, run, state, gradients), loss


def add_momentum(graph, run, state, gradients):
    held, buffers = state[: len(gradients)], state[len(gradients) :]
    # A buffer of zeros makes the first step's buffer the gradient itself, as in PyTorch.
    buffers = [graph.op("Add", graph.op("Mul", b, graph.constant(run["momentum"])), g)
               for b, g in zip(buffers, gradients)]
    change = lambda b: graph.op("Mul", b, graph.constant(run["lr"]))
    return [graph.op("Sub", p, change(b)) for p, b in zip(held, buffers)] + buffers


def add_adam(graph, run, state, gradients):
    """Holds M = m / (1-b1), V = v / (1-b2), C = (1-b1^t) / (1-b1), D = (1-b2^t) / (1-b2).

    Each of them is b times its last value plus g, g^2 or 1, and the update is
    lr sqrt(D) / C * M / (sqrt(V) + eps sqrt(D)): fewer ops than the usual formula.
    """
    one, eps = graph.constant(1), graph.constant(run["eps"])
    lr, b1, b2 = (graph.constant(v) for v in (run["lr"], *run["betas"]))
    fade = lambda old, beta, new: graph.op("Add", graph.op("Mul", old, beta), new)
    c, d = fade(state[-2], b1, one), fade(state[-1], b2, one)
    root = graph.op("Sqrt", d)
    size = graph.op("Div", graph.op("Mul", root, lr), c)
    eps = graph.op("Mul", root, eps)
    count, parameters, first, second = len(gradients), [], [], []
    for i, g in enumerate(gradients):
        m = fade(state[count + i], b1, g)
        v = fade(state[2 * count + i], b2, graph.op("Mul", g, g))
        change = graph.op("Div", m, graph.op("Add", graph.op("Sqrt", v), eps))
        parameters.append(graph.op("Sub", state[i], graph.op("Mul", change, size)))
        first.append(m), second.append(v)
    return parameters + first + second + [c, d]


def make_model(spec, run, way, shapes, x, y, state, steps):
    """A model from x, y and the state to the state after these steps and the last loss."""
    import numpy as np
    from onnx import TensorProto, helper

    graph, scalar = Graph(x.dtype), np.zeros((), x.dtype)
    names = [f"state_{i}" for i in range(len(state))]
    types = [graph.type_of(*s) for s in zip(names, state)]
    # A trip around the loop costs as much as a few small ops, so one trip has several steps.
    unrolled = math.gcd(steps, 10)
    results = names
    for _ in range(unrolled):
        results, loss = add_step(graph, spec, run, way, shapes, len(x), results)
    results = [*results, loss]
    if steps > unrolled:
        # Within the body the state has other names than outside.
        inner = [f"inner_{name}" for name in names]
        for node in graph.nodes:
            node.input[:] = [dict(zip(names, inner)).get(name, name) for name in node.input]
        graph.nodes.append(helper.make_node("Identity", ["go"], ["go_on"]))
        arrays = [*state, scalar]
        control = [helper.make_tensor_value_info("trip", TensorProto.INT64, ()),
                   helper.make_tensor_value_info("go", TensorProto.BOOL, ())]
        body = helper.make_graph(
            graph.nodes, "body",
            control + [graph.type_of(*s) for s in zip([*inner, "last_loss"], arrays)],
            [helper.make_tensor_value_info("go_on", TensorProto.BOOL, ())]
            + [graph.type_of(*s) for s in zip(results, arrays)])
        graph.nodes = []
        results = graph.op("Loop", graph.constant(steps // unrolled, np.int64), "", *names,
                           graph.constant(0), outputs=len(arrays), body=body)
    whole = helper.make_graph(
        graph.nodes, "training", [graph.type_of("x", x), graph.type_of("y", y), *types],
        [graph.type_of(*s) for s in zip(results, [*state, scalar])],
        list(graph.constants.values()))
    return helper.make_model(whole, ir_version=IR_VERSION,
                             opset_imports=[helper.make_opsetid("", OPSET)])


class Trainer:
    """A session with its buffers; run() makes `steps` steps, `loss` is that of the last."""

    def __init__(self, spec, run, weights, x, y, config, steps=1):
        import numpy as np
        import onnxruntime as ort

        threads, way = config.split("/")
        self.run_settings, self.way = run, way
        self.shapes = [s for w, b in weights for s in (w.shape, (1, *b.shape))]
        y = y[:, None] if y.dtype == np.int64 else y
        state = initial_state(run, way, weights)
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(threads.split("-")[0])
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        model = make_model(spec, run, way, self.shapes, x, y, state, steps)
        self.session = ort.InferenceSession(model.SerializeToString(), options,
                                            providers=["CPUExecutionProvider"])
        # ORT computes in the memory of these arrays.
        self.sets = [[a.copy() for a in state] for _ in range(2)]
        self.loss = np.zeros((), x.dtype)
        self.x, self.y = x.copy(), y.copy()
        self.bindings = [self.bind(*self.sets), self.bind(*reversed(self.sets))]

    def bind(self, old, new):
        from onnxruntime import OrtValue

        binding = self.session.io_binding()
        for of, array in zip(self.session.get_inputs(), [self.x, self.y, *old]):
            binding.bind_ortvalue_input(of.name, OrtValue.ortvalue_from_numpy(array))
        for of, array in zip(self.session.get_outputs(), [*new, self.loss]):
            binding.bind_ortvalue_output(of.name, OrtValue.ortvalue_from_numpy(array))
        return binding

    def run(self):
        # Not with RunOptions: to look into them takes the session 50 us.
        self.session.run_with_iobinding(self.bindings[0])
        self.bindings.reverse()
        self.sets.reverse()

    def go_on(self, state, x, y):
        for own, array in zip([*self.sets[0], self.x, self.y], [*state, x, y]):
            own[...] = array.reshape(own.shape)

    def weights(self):
        return weights_of(self.sets[0], self.run_settings, self.way, self.shapes)


# ---- as a Framework ----


def configure(config):
    """Each session has settings of its own."""


def time_workload(spec, run, blocks, config):
    if is_plain_sgd(run) and not config.endswith("/matrices"):
        return {}
    weights, x, y = framework_peer.make_data(spec)

    def block_of_steps():
        for _ in range(spec["per_call"]):
            trainer.run()

    def block_of_reads():
        for _ in range(spec["per_call"]):
            trainer.run()
            float(trainer.loss)

    def block_in_one_call():
        trainer.run()

    times = {}
    for name, body, steps in (("step", block_of_steps, 1), ("step_read", block_of_reads, 1),
                              ("steps", block_in_one_call, spec["per_call"])):
        trainer = Trainer(spec, run, weights, x, y, config, steps)
        times[name] = time_blocks(body, spec["per_call"], blocks)
        if not math.isfinite(trainer.loss):
            sys.exit(f"the loss is {trainer.loss}")
    return times


def first_loss(spec, run):
    # 0 threads are as many as there are cores.
    trainer = Trainer(spec, run, *framework_peer.make_data(spec), "0-thread/matrices")
    trainer.run()
    return float(trainer.loss)


def train(spec, run, weights, batches, config):
    trainers, losses, last = {}, [], None
    for x, y in batches:
        if len(x) not in trainers:
            trainers[len(x)] = Trainer(spec, run, weights, x, y, config)
        trainer = trainers[len(x)]
        trainer.go_on((last or trainer).sets[0], x, y)
        trainer.run()
        losses.append(float(trainer.loss))
        last = trainer
    return losses, last.weights()


if __name__ == "__main__":
    framework_peer.main(
        framework_peer.Framework("ORT", "onnxruntime", CONFIGS, configure, time_workload,
                                 first_loss, train,
                                 checked_configs=[f"2-thread/{way}" for way in WAYS]), __doc__)
