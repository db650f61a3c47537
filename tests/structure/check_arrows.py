"""Holds the arrows: runtime <- ir <- compiler <- frontend <- tools, examples, tests, bench.

An include may point left or stay inside its folder. LLVM is included below compiler/llvm/ only,
directly or through a header of ours. A public header, <folder>/include/sinter/X.h, is spelled
<sinter/X.h>; a private one is spelled from the root, "ir/graph.h".
"""

import os
import re

import source_tree

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:<([^>]+)>|"([^"]+)")')
LLVM = re.compile(r"^(llvm|llvm-c|lld|clang|mlir)/")
LLVM_HOME = "compiler/llvm/"


def rank(path):
    """How far right a file stands; None for a file outside the house."""
    folder = path.split("/", 1)[0]
    if folder in source_tree.LAYERS:
        return source_tree.LAYERS.index(folder)
    return len(source_tree.LAYERS) if folder in source_tree.LEAVES else None


def is_public(path):
    return re.match(r"[a-z_]+/include/sinter/", path) is not None


def includes(root, path):
    """(line number, name, is_angled) of each include that is not commented out."""
    text = "\n".join(source_tree.read_lines(root, path))
    blank = lambda comment: "\n" * comment.group(0).count("\n")
    for number, line in enumerate(re.sub(r"/\*.*?\*/", blank, text, flags=re.S).split("\n"), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1) or match.group(2), match.group(1) is not None


class Tree:
    def __init__(self, root):
        self.root = root
        self.paths = [p for p in source_tree.files(root, source_tree.CODE) if rank(p) is not None]
        self.known = set(self.paths)
        self.findings = []
        self.owners = {}
        for path in self.paths:
            if is_public(path):
                self.owners.setdefault(path.split("/include/", 1)[1], []).append(path)
        self.includes = {path: list(includes(root, path)) for path in self.paths}

    def report(self, path, line, text):
        self.findings.append(f"{path}:{line}: {text}")

    def resolve(self, path, line, name, angled):
        """The path in the tree that an include names; None for a header from outside."""
        if angled:
            if not name.startswith("sinter/"):
                return None
            owners = self.owners.get(name, [])
            if not owners:
                self.report(path, line, f"no folder owns <{name}>")
            return owners[0] if owners else None
        if name.startswith("sinter/") or "/include/sinter/" in name:
            public = name.split("/include/")[-1]
            self.report(path, line, f'"{name}" is public: spell it <{public}>')
            return None
        if name in self.known:
            return name
        beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
        if beside in self.known:
            self.report(path, line, f'"{name}": spell it from the root, "{beside}"')
        elif not os.path.exists(os.path.join(self.root, name)):
            self.report(path, line, f'"{name}" is not in the tree')
        return None

    def check(self):
        for name, owners in sorted(self.owners.items()):
            if len(owners) > 1:
                self.report(owners[1], 1, f"<{name}> is also {owners[0]}")
        edges = {path: [] for path in self.paths}
        llvm_users = set()
        for path in self.paths:
            if is_public(path) and path.endswith((".h", ".hpp")):
                if not any(l.strip() == "#pragma once"
                           for l in source_tree.read_lines(self.root, path)):
                    self.report(path, 1, "a public header needs #pragma once")
            for line, name, angled in self.includes[path]:
                if LLVM.match(name):
                    llvm_users.add(path)
                    if is_public(path):
                        self.report(path, line, f"a public header includes LLVM: {name}")
                    elif not path.startswith(LLVM_HOME):
                        self.report(path, line, f"LLVM outside {LLVM_HOME}: {name}")
                    continue
                target = self.resolve(path, line, name, angled)
                if target is None:
                    continue
                edges[path].append((line, target))
                if rank(target) > rank(path):
                    self.report(path, line, f"arrow points the wrong way: {path.split('/')[0]} "
                                            f"may not include {target}")
                elif rank(target) == len(source_tree.LAYERS) and not same_leaf(path, target):
                    self.report(path, line, f"{path.split('/')[0]} may not include {target}")
                if is_public(path) and not is_public(target):
                    self.report(path, line, f"a public header includes a private one: {target}")
        self.check_llvm_leaks(edges, llvm_users)
        return self.findings, len(self.paths)

    def check_llvm_leaks(self, edges, tainted):
        """LLVM must not come in through one of our headers either."""
        tainted = set(tainted)
        grown = True
        while grown:
            grown = False
            for path, targets in edges.items():
                if path not in tainted and any(target in tainted for _, target in targets):
                    tainted.add(path)
                    grown = True
        for path in self.paths:
            if path.startswith(LLVM_HOME) and not is_public(path):
                continue
            for line, target in edges[path]:
                if target in tainted:
                    self.report(path, line, f"LLVM comes in through {target}")


def same_leaf(path, target):
    """Tests and the bench may share helpers; otherwise a program keeps to its own folder."""
    source, destination = path.split("/")[0], target.split("/")[0]
    return source == destination or {source, destination} <= {"tests", "bench"}


def check(root):
    return Tree(root).check()


if __name__ == "__main__":
    source_tree.main(check)
