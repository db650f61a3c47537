"""Compiles and links small programs against a build tree, as CMake describes it to the tests."""

import json
import os
import subprocess

LAYERS = ["runtime", "ir", "compiler", "frontend"]


class BuildTree:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            about = json.load(file)
        self.root, self.bin = about["root"], about["bin"]
        self.libraries = about["libraries"]
        self.compiler = [*filter(None, about["launcher"].split(";")), about["compiler"]]

    def run(self, *arguments):
        return subprocess.run(arguments, capture_output=True, text=True, check=False)

    def compile(self, source, output, overlay=None, only_syntax=False):
        """Headers of `overlay`, a folder laid out as the tree is, stand before those of the tree."""
        roots = [root for root in (overlay, self.root) if root]
        includes = [f"-I{root}" for root in roots]
        includes += [f"-I{root}/{layer}/include" for root in roots for layer in LAYERS]
        end = ["-fsyntax-only"] if only_syntax else ["-c", "-o", output]
        return self.run(*self.compiler, "-std=c++20", "-O0", *includes, source, *end)

    def link(self, objects, output):
        """What `objects` define is not taken from the libraries."""
        llvm = os.path.dirname(self.libraries[-3])
        return self.run(self.compiler[-1], "-o", output, *objects, "-Wl,--start-group",
                        *self.libraries, "-Wl,--end-group", f"-Wl,-rpath,{llvm}", "-pthread")
