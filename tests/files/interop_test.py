"""Files go to and from the real numpy and safetensors with the same bytes."""

import os
import subprocess
import sys
import tempfile
import unittest

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

PROGRAM = sys.argv.pop(1)
RANDOM = np.random.default_rng(1)


def program(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def arrays():
    """Arrays of every dtype that Sinter has, ranks 0 to 4, empty ones, and the special numbers."""
    out = {}
    for shape in [(), (5,), (0, 3), (2, 3), (2, 1, 3, 2)]:
        for dtype in ["float32", "float64", "int32", "int64", "bool"]:
            values = RANDOM.normal(0, 100, shape)
            out[f"{dtype}.{shape}"] = np.asarray(values).astype(dtype)
    out["special"] = np.array([-0.0, np.inf, -np.inf, np.nan, 1e-45], np.float32)
    out["naïve \"name\"\n✓"] = np.arange(3, dtype=np.int64)
    return out


class Interop(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def at(self, name):
        return os.path.join(self.folder, name)

    def same(self, a, b, what):
        self.assertEqual((a.dtype, a.shape, a.tobytes()), (b.dtype, b.shape, b.tobytes()), what)

    def copy(self, name, to):
        done = program("copy", self.at(name), self.at(to))
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        return contents(self.at(to))

    def test_python_reads_what_sinter_writes(self):
        self.assertEqual(0, program("write", self.folder).returncode)
        tensors = load_file(self.at("all.safetensors"))
        self.assertEqual(27, len(tensors))
        kinds = {"f32": "<f4", "f64": "<f8", "i32": "<i4", "i64": "<i8", "bool": "|b1"}
        for name, tensor in tensors.items():
            kind, _, shape = name.partition(".")
            if kind not in kinds:
                continue
            self.assertEqual(np.dtype(kinds[kind]), tensor.dtype, name)
            self.assertEqual(tuple(map(int, filter(None, shape.split("x")))), tensor.shape, name)
            self.same(tensor, np.load(self.at(name + ".npy")), name)
        self.same(tensors["special"], np.load(self.at("special.npy")), "special")
        self.assertEqual(1, tensors["naïve \"name\"\n✓"].item())

    def test_safetensors_written_by_either_are_the_same_bytes(self):
        save_file(arrays(), self.at("python.safetensors"))
        copied = self.copy("python.safetensors", "sinter.safetensors")
        self.assertEqual(contents(self.at("python.safetensors")), copied)
        save_file({}, self.at("empty.safetensors"))
        self.assertEqual(contents(self.at("empty.safetensors")),
                         self.copy("empty.safetensors", "copy.safetensors"))

    def test_metadata_goes_both_ways(self):
        texts = {"a": "line\nquote \" slash \\ é ✓ \x01", "b": ""}
        save_file({"w": np.ones(3, np.float32)}, self.at("python.safetensors"), metadata=texts)
        self.copy("python.safetensors", "sinter.safetensors")
        with safe_open(self.at("sinter.safetensors"), "np") as file:
            self.assertEqual(texts, file.metadata())
            self.same(np.ones(3, np.float32), file.get_tensor("w"), "w")
        # One text has one order.
        save_file({"w": np.ones(3, np.float32)}, self.at("one.safetensors"), metadata={"k": "v"})
        self.assertEqual(contents(self.at("one.safetensors")),
                         self.copy("one.safetensors", "copy.safetensors"))

    def test_numpy_arrays_go_both_ways(self):
        for name, array in arrays().items():
            for order in "CF":
                np.save(self.at("a.npy"), np.asarray(array, order=order))
                self.copy("a.npy", "b.npy")
                self.same(array, np.load(self.at("b.npy")), name)
        np.save(self.at("a.npy"), np.arange(6, dtype=np.float32).reshape(2, 3))
        self.assertEqual(contents(self.at("a.npy")), self.copy("a.npy", "b.npy"))

    def test_other_dtypes_are_refused_with_a_way_out(self):
        for dtype in ["uint8", "int8", "int16", "uint16", "uint32", "uint64", "float16"]:
            save_file({"w": np.ones(3, dtype)}, self.at("a.safetensors"))
            done = program("copy", self.at("a.safetensors"), self.at("b"))
            self.assertEqual(1, done.returncode)
            self.assertRegex(done.stderr, "elements in w at byte \\d+\n(.|\n)*= help: convert it")
        np.save(self.at("a.npy"), np.array([{}], dtype=object), allow_pickle=True)
        done = program("copy", self.at("a.npy"), self.at("b.npy"))
        self.assertIn("Python objects", done.stderr)


if __name__ == "__main__":
    unittest.main()
