"""Compiled programs against JAX: an interpreter of .sir text in Python, with derivatives by JAX.

    python jax_check.py path/to/sinter [--seed 1] [--count 200]

Takes random programs with their inputs from `sinter fuzz --emit`, runs each with `sinter run`, and
evaluates its text here in f64, op by op, with nothing of this project in between. An element may be
as far off as the bound that comes with the program says. Programs with an op that is unknown here
are skipped and counted. Needs numpy and JAX: tools/setup.sh --oracles puts them into build/venv.
"""

import argparse
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")

DTYPES = {"f32": jnp.float64, "f64": jnp.float64, "i32": jnp.int32, "i64": jnp.int64,
          "bool": jnp.bool_}


class Unknown(Exception):
    """An op without a meaning here."""


# ---- Text ----------------------------------------------------------------------------------------

Type = collections.namedtuple("Type", "dtype dims")
Op = collections.namedtuple("Op", "result kind operands attrs type")
Program = collections.namedtuple("Program", "args globals ops assigns results")


def parse_dim(text):
    """`n`, `10` or `4n` as (factor, follows n)."""
    text = text.strip()
    return (int(text[:-1] or 1), True) if text.endswith("n") else (int(text), False)


def parse_type(text):
    dtype, dims = re.fullmatch(r"(\w+)\[(.*)\]", text.strip()).groups()
    return Type(dtype, [parse_dim(d) for d in dims.split(",")] if dims else [])


def parse_attr(text):
    if text.startswith("["):
        inner = text[1:-1]
        items = [parse_dim(t) for t in inner.split(",")] if inner else []
        return items if any(follows for _, follows in items) else [size for size, _ in items]
    if text.startswith('"'):
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    return float(text) if re.search(r"[.en]", text) else int(text)


def parse(text):
    program = Program({}, {}, [], {}, [])
    for line in text.splitlines():
        line = line.strip()
        if m := re.match(r"global @([\w.-]+) : (.*)", line):
            program.globals[m[1]] = parse_type(m[2])
        elif m := re.match(r"func @[\w.-]+\((.*)\) \{", line):
            for arg in re.findall(r"%([\w.-]+): (\w+\[[^\]]*\])", m[1]):
                program.args[arg[0]] = parse_type(arg[1])
        elif m := re.match(r"assign @([\w.-]+), (\S+)", line):
            program.assigns[m[1]] = m[2]
        elif m := re.match(r"return ?(.*)", line):
            program.results.extend(v.strip() for v in m[1].split(",") if v.strip())
        elif m := re.match(r"(%[\w.-]+) = (\w+) ?([^{:]*)(\{.*\})? : (\w+\[[^\]]*\])", line):
            attrs = dict(re.findall(r'(\w+) = (\[[^\]]*\]|"[^"]*"|[^,}]+)', m[4] or ""))
            program.ops.append(Op(m[1], m[2], [v.strip() for v in m[3].split(",") if v.strip()],
                                  {k: parse_attr(v) for k, v in attrs.items()}, parse_type(m[5])))
    return program


# ---- Meaning -------------------------------------------------------------------------------------

def shape_of(dims, n):
    return tuple(size * n if follows else size for size, follows in dims)


def extent(attrs, n):
    out = 1
    for item in attrs["of"]:
        size, follows = item if isinstance(item, tuple) else (item, False)
        out *= size * n if follows else size
    return out


def contraction(x, y, attrs):
    names = iter("abcdefghijklmnopqrstuvwxyz")
    left = [next(names) for _ in x.shape]
    right = [next(names) for _ in y.shape]
    pairs = list(zip(attrs["a"], attrs["b"]))
    batch = list(zip(attrs.get("a_batch", []), attrs.get("b_batch", [])))
    for i, j in pairs + batch:
        right[j] = left[i]
    used = {left[i] for i, _ in pairs + batch}
    out = [left[i] for i, _ in batch]
    out += [c for c in left if c not in used] + [c for c in right if c not in used]
    return jnp.einsum(f"{''.join(left)},{''.join(right)}->{''.join(out)}", x, y)


def reduced(losses, attrs, count):
    reduction = attrs.get("reduction", "mean")
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / count


def cross_entropy(x, labels, attrs):
    ignored = labels == attrs.get("ignore_index", -100)
    shifted = x - jax.lax.stop_gradient(x.max(axis=1, keepdims=True))
    picked = jnp.take_along_axis(shifted, jnp.where(ignored, 0, labels)[:, None], axis=1)[:, 0]
    # A label that is no class and not ignored picks nothing (programs in C++ are refused it): what
    # stays is the logarithm of the sum of exponentials, of logits less their largest.
    picked = jnp.where((labels >= 0) & (labels < x.shape[1]), picked, 0.0)
    loss = jax.nn.logsumexp(shifted, axis=1) - picked
    return reduced(jnp.where(ignored, 0.0, loss), attrs, (~ignored).sum())


def cast(x, dtype):
    if dtype == "bool":
        return x != 0
    return x.astype(DTYPES[dtype]) if not jnp.issubdtype(x.dtype, jnp.floating) or \
        dtype.startswith("f") else jnp.trunc(x).astype(DTYPES[dtype])


def divide(x, y):
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x / y
    safe = jnp.where(y == 0, 1, y)
    return jnp.where(y == 0, 0, jax.lax.div(*jnp.broadcast_arrays(x, safe)))



ELEMENTWISE = {
    "add": jnp.add, "sub": jnp.subtract, "mul": jnp.multiply, "div": divide, "neg": jnp.negative,
    "exp": jnp.exp, "log": jnp.log, "sqrt": jnp.sqrt, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid,
    "relu": lambda x: jnp.where(x > 0, x, jnp.where(jnp.isnan(x), x, 0.0)),
    "equal": jnp.equal, "less": jnp.less, "less_equal": jnp.less_equal, "select": jnp.where,
    "abs": jnp.abs, "rsqrt": jax.lax.rsqrt, "sin": jnp.sin, "cos": jnp.cos,
    "erf": jax.scipy.special.erf, "floor": jnp.floor, "ceil": jnp.ceil, "sign": jnp.sign,
}

OTHERS = {
    "cast": lambda op, n, x: cast(x, op.type.dtype),
    "constant": lambda op, n: constant(op, n),
    "iota": lambda op, n: jax.lax.broadcasted_iota(
        jnp.int64, shape_of(op.type.dims, n), op.attrs["axis"]).astype(DTYPES[op.type.dtype]),
    "extent": lambda op, n: jnp.float64(extent(op.attrs, n)),
    "reshape": lambda op, n, x: x.reshape(shape_of(op.type.dims, n)),
    "transpose": lambda op, n, x: x.transpose(op.attrs["permutation"]),
    "broadcast": lambda op, n, x: jnp.broadcast_to(x, shape_of(op.type.dims, n)),
    "sum": lambda op, n, x: x.sum(tuple(op.attrs["axes"]), keepdims=op.attrs.get("keepdims", False)),
    "mean": lambda op, n, x: x.mean(tuple(op.attrs["axes"]),
                                    keepdims=op.attrs.get("keepdims", False)),
    "max": lambda op, n, x: maximum(op, x),
    "argmax": lambda op, n, x: x.argmax(op.attrs["axis"], keepdims=op.attrs.get("keepdims", False)),
    "contraction": lambda op, n, x, y: contraction(x, y, op.attrs),
    "linear": lambda op, n, x, w, b: x @ w.T + b,
    "gather": lambda op, n, x, i: x[i],
    "scatter_add": lambda op, n, x, i: jnp.zeros(shape_of(op.type.dims, n), x.dtype).at[i].add(x),
    "softmax": lambda op, n, x: jax.nn.softmax(x, axis=op.attrs["axis"]),
    "log_softmax": lambda op, n, x: jax.nn.log_softmax(x, axis=op.attrs["axis"]),
    "mse_loss": lambda op, n, x, y: reduced((x - y) ** 2, op.attrs, x.size),
    "cross_entropy": lambda op, n, x, y: cross_entropy(x, y, op.attrs),
}


def maximum(op, x):
    """By the first of equals, which also gets the whole gradient."""
    axis = op.attrs["axis"]
    out = jnp.take_along_axis(x, x.argmax(axis, keepdims=True), axis)
    return out if op.attrs.get("keepdims", False) else out.squeeze(axis)


def constant(op, n):
    value = op.attrs["value"]
    if op.type.dtype == "f32":
        value = float(np.float32(value))
    value = value != 0 if op.type.dtype == "bool" else value
    return jnp.full(shape_of(op.type.dims, n), value, DTYPES[op.type.dtype])


def apply(op, n, operands):
    if op.kind in ELEMENTWISE:
        return ELEMENTWISE[op.kind](*operands)
    if op.kind in OTHERS:
        return OTHERS[op.kind](op, n, *operands)
    raise Unknown(op.kind)


class Evaluation:
    """Values by name. A gradient is taken by JAX through everything from the value to the loss."""

    def __init__(self, program, entry, n):
        self.program, self.entry, self.n = program, entry, n

    def values(self, shifted=None, shift=None, until=None):
        """All values up to op number `until`; what is added to the value `shifted` is a variable."""
        out = {}
        for name, value in self.entry.items():
            out[name] = value + shift if name == shifted else value
        for op in self.program.ops[:until]:
            if op.kind == "gradient":
                out[op.result] = self.gradient(op, shifted, shift)
            else:
                out[op.result] = apply(op, self.n, [out[v] for v in op.operands])
            if op.result == shifted:
                out[op.result] = out[op.result] + shift
        return out

    def gradient(self, op, shifted, shift):
        loss, wrt = op.operands
        index = self.program.ops.index(op)

        def from_shift(by):
            # An outer variable stays one: second derivatives go through it.
            inner = Evaluation(self.program, dict(self.entry), self.n)
            if shifted in inner.entry and shifted != wrt:
                inner.entry[shifted] = inner.entry[shifted] + shift
                return inner.values(wrt, by, index)[loss]
            if shifted == wrt:
                return inner.values(wrt, by + shift, index)[loss]
            if shifted is not None:
                return inner.values_two(wrt, by, shifted, shift, index)[loss]
            return inner.values(wrt, by, index)[loss]

        return jax.grad(from_shift)(jnp.zeros(shape_of(self.type_of(wrt).dims, self.n)))

    def values_two(self, *_):
        raise Unknown("a second derivative by an inner value")

    def type_of(self, name):
        if name.startswith("@"):
            return self.program.globals[name[1:]]
        if name[1:] in self.program.args:
            return self.program.args[name[1:]]
        return next(op.type for op in self.program.ops if op.result == name)


# ---- Comparison ----------------------------------------------------------------------------------

def load(path):
    array = np.load(path)
    return jnp.asarray(array.astype(np.float64) if array.dtype == np.float32 else array)


def check(sinter, base, folder):
    """A list of what differs. Raises Unknown."""
    program = parse(base.with_suffix(".sir").read_text())
    inputs = base.with_suffix(".in")
    entry = {}
    for kind, names in (("%", program.args), ("@", program.globals)):
        for name in names:
            entry[kind + name] = load(inputs / f"{name}.npy")
    n = next((entry["%" + name].shape[i] // dim[0] for name, t in program.args.items()
              for i, dim in enumerate(t.dims) if dim[1]), 1)
    values = Evaluation(program, entry, n).values()
    files = [f"{name}={inputs / name}.npy" for name in (*program.args, *program.globals)]
    subprocess.run([sinter, "run", base.with_suffix(".sir"), "--quiet", "--n", str(n),
                    "--save", folder, "--inputs", *files], check=True)
    wanted = [(f"result{i}", v) for i, v in enumerate(program.results)]
    wanted += [(name, v) for name, v in program.assigns.items()]
    findings = []
    for name, value in wanted:
        actual = np.load(pathlib.Path(folder) / f"{name}.npy").astype(np.float64)
        bound = np.load(base.with_suffix(".bound") / f"{name}.npy")
        expected = np.asarray(values[value]).astype(np.float64)
        with np.errstate(invalid="ignore"):
            off = np.abs(actual - expected)
            wrong = ~((off <= bound) | np.isinf(bound) | (actual == expected)
                      | (np.isnan(actual) & np.isnan(expected)))
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            findings.append(f"{name} {value} at {at} is {actual[at]}, not {expected[at]} "
                            f"(rounding allows {bound[at]:.2e})")
    return findings


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("sinter")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    args = parser.parse_args()
    checked, skipped, failed = 0, collections.Counter(), 0
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as results:
        subprocess.run([args.sinter, "fuzz", "--emit", folder, "--seed", str(args.seed), "--count",
                        str(args.count)], check=True, stdout=subprocess.DEVNULL)
        for path in sorted(pathlib.Path(folder).glob("*.sir"), key=lambda p: int(p.stem)):
            try:
                findings = check(args.sinter, path.with_suffix(""), results)
            except Unknown as unknown:
                skipped[str(unknown)] += 1
                continue
            checked += 1
            failed += bool(findings)
            for finding in findings:
                print(f"seed {path.stem}: {finding}")
    reasons = ", ".join(f"{count} for {why}" for why, count in skipped.most_common())
    print(f"{checked} programs agree with JAX" if not failed else
          f"{failed} of {checked} programs differ from JAX",
          f"({sum(skipped.values())} skipped: {reasons})" if skipped else "")
    sys.exit(1 if failed or not checked else 0)


if __name__ == "__main__":
    main()
