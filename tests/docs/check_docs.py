"""Runs the documentation: every code block of README.md and docs/*.md is held to what it says.

A comment on the line before a block says how it is checked where its language alone does not:

    cpp      <!-- run: NAME -->         a program: compiled, linked, run
             <!-- part: FILE -->        these lines stand in FILE, one after the other
    text     <!-- output: NAME -->      what that program prints; "tolerance: 1e-3" for its numbers
             <!-- folders -->           the first word of each line is a path of the tree
    sir      <!-- stage: NAME PASS -->  the program's training step after a pass, without locations
             (nothing)                  parses and passes the verifier
    console                             "$ command" lines are run, one folder for all, beside the
                                        programs; a line "..." stands for any lines
    sh                                  each line starts with a program of the tree, or a tool
    diff                                applies to the tree

A block that nothing checks is an error, and so is a link to a file that is not there.
SINTER_UPDATE_GOLDENS=1 writes what came out into outputs and stages; review the diff.
"""

import glob
import os
import re
import shutil
import subprocess
import sys

from build_tree import BuildTree

NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?")
TOOLS = {"cmake", "ctest", "ninja"}


class Block:
    def __init__(self, path, line, language, mark, lines):
        self.path, self.line, self.language, self.mark = path, line, language, mark
        self.lines = lines

    def argument(self, key):
        found = re.search(rf"\b{key}(?:: ([^,>]*?))?\s*(?:,|-->)", self.mark)
        return None if found is None else (found.group(1) or "").strip()


def blocks(path, text):
    """The fenced blocks of a document; `line` is where the first line of the block stands."""
    lines, found, i = text.split("\n"), [], 0
    while i < len(lines):
        if lines[i].startswith("```"):
            end = next((k for k in range(i + 1, len(lines)) if lines[k] == "```"), None)
            if end is None:
                raise ValueError(f"{path}:{i + 1}: the block has no end")
            mark = lines[i - 1] if i > 0 and lines[i - 1].startswith("<!--") else ""
            found.append(Block(path, i + 2, lines[i][3:].strip(), mark, lines[i + 1:end]))
            i = end
        i += 1
    return found


def same_line(want, got, tolerance):
    if tolerance is None:
        return want == got
    if NUMBER.sub("#", want).split() != NUMBER.sub("#", got).split():
        return False
    pairs = zip(map(float, NUMBER.findall(want)), map(float, NUMBER.findall(got)))
    return all(abs(a - b) <= tolerance * max(1.0, abs(a)) for a, b in pairs)


def differs(want, got, tolerance=None):
    """The first line of `want` that `got` does not have in its place, or nothing."""
    if "..." in want:
        at = want.index("...")
        rest = want[at + 1:]
        return (differs(want[:at], got[:at], tolerance) or
                (differs(rest, got[len(got) - len(rest):], tolerance) if rest else None))
    for i in range(max(len(want), len(got))):
        a, b = (x[i] if i < len(x) else "(no line)" for x in (want, got))
        if not same_line(a, b, tolerance):
            return f"line {i + 1} is '{b}' but the page says '{a}'"
    return None


def patched(text, hunk):
    """`text` with the lines of one hunk (without its @@ line) changed; None if they are not there."""
    before = [line[1:] for line in hunk if line[:1] in (" ", "-")]
    after = [line[1:] for line in hunk if line[:1] in (" ", "+")]
    lines = text.split("\n")
    places = [i for i in range(len(lines) - len(before) + 1) if lines[i:i + len(before)] == before]
    if len(places) != 1:
        return None
    return "\n".join(lines[:places[0]] + after + lines[places[0] + len(before):])


def diff_files(lines):
    """[(path, [hunk, ...])] of a unified diff."""
    files = []
    for line in lines:
        if line.startswith("+++ "):
            files.append((re.sub(r"^b/", "", line[4:]), []))
        elif line.startswith("@@"):
            files[-1][1].append([])
        elif not line.startswith(("--- ", "diff ")) and files and files[-1][1]:
            files[-1][1][-1].append(line or " ")
    return files


class Checker:
    def __init__(self, tree, scratch, update):
        self.tree, self.scratch, self.update = tree, scratch, update
        self.findings, self.checked, self.changes = [], 0, {}
        shutil.rmtree(scratch, ignore_errors=True)
        os.makedirs(scratch)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SINTER_")}
        self.environment = dict(clean, PATH=tree.bin + os.pathsep + os.environ["PATH"])

    def report(self, block, text):
        self.findings.append(f"{block.path}:{block.line}: {text}")

    def read(self, path):
        with open(os.path.join(self.tree.root, path), encoding="utf-8") as file:
            return file.read()

    def shell(self, command, text=None):
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=self.scratch, input=text,
                              env=self.environment, capture_output=True, text=True, check=False)
        return done.returncode, (done.stdout + done.stderr).rstrip("\n").split("\n")

    def compare(self, block, want, got, tolerance=None):
        wrong = differs(want, got, tolerance)
        if wrong and self.update and want is block.lines:
            self.changes.setdefault(block.path, []).append((block, got))
        elif wrong:
            self.report(block, wrong)

    # What each language is held to.

    def cpp(self, block):
        name, part = block.argument("run"), block.argument("part")
        if name:
            source = os.path.join(self.scratch, name + ".cpp")
            program = os.path.join(self.scratch, name)
            with open(source, "w", encoding="utf-8") as file:
                file.write("\n".join(block.lines) + "\n")
            done = self.tree.compile(source, program + ".o")
            if done.returncode == 0:
                done = self.tree.link([program + ".o"], program)
            if done.returncode != 0:
                self.report(block, "does not build:\n" + done.stderr)
        elif part:
            indent = lambda line: line.strip()
            whole = "\n".join(map(indent, self.read(part).split("\n")))
            if "\n".join(map(indent, block.lines)) not in whole:
                self.report(block, f"these lines do not stand in {part}")
        else:
            return False
        return True

    def text(self, block):
        name = block.argument("output")
        if name:
            tolerance = block.argument("tolerance")
            code, got = self.shell(f"./{name}")
            if code != 0:
                self.report(block, f"{name} exits with {code}: {got[-1]}")
            self.compare(block, block.lines, got, float(tolerance) if tolerance else None)
        elif block.argument("folders") is not None:
            for line in block.lines:
                path = line.split()[0] if line.strip() else "."
                if not os.path.exists(os.path.join(self.tree.root, path)):
                    self.report(block, f"the tree has no {path}")
        else:
            return False
        return True

    def sir(self, block):
        code, got = self.shell("sinter opt --verify -", "\n".join(block.lines) + "\n")
        if code != 0:
            self.report(block, "\n".join(got))
        stage = block.argument("stage")
        if stage:
            name, last = stage.split()
            self.shell(f"SINTER_DUMP=stages.{name} ./{name}")
            found = glob.glob(os.path.join(self.scratch, f"stages.{name}/train_step.*.{last}.sir"))
            if len(found) != 1:
                self.report(block, f"{name} dumps no stage {last}")
                return True
            with open(found[0], encoding="utf-8") as file:
                text = re.sub(r' loc\("[^"]*":\d+(?:, "[^"]*")?\)', "", file.read())
            self.compare(block, block.lines, text.rstrip("\n").split("\n"))
        return True

    def console(self, block):
        commands = []
        for line in block.lines:
            if line.startswith("$ "):
                commands.append((line[2:], []))
            elif commands:
                commands[-1][1].append(line)
        for command, want in commands:
            code, got = self.shell(command)
            if code != 0:
                self.report(block, f"'{command}' exits with {code}:\n" + "\n".join(got))
            elif want:
                self.compare(block, want, got)
        return bool(commands)

    def sh(self, block):
        for line in block.lines:
            word = line.split()[0]
            path = os.path.join(self.tree.root, word)
            if word not in TOOLS and not os.access(path, os.X_OK):
                self.report(block, f"'{word}' is not a program of the tree")
        return bool(block.lines)

    def diff(self, block):
        files = diff_files(block.lines)
        for path, hunks in files:
            text = self.read(path)
            for hunk in hunks:
                text = None if text is None else patched(text, hunk)
            if text is None:
                self.report(block, f"does not apply to {path}")
        return bool(files)

    def document(self, path):
        folder = os.path.dirname(path)
        text = self.read(path)
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose):
            if not os.path.exists(os.path.join(self.tree.root, folder, link)):
                self.findings.append(f"{path}: links to {link}, which is not there")
        return blocks(path, text)

    def run(self):
        documents = ["README.md"] + sorted(
            os.path.relpath(p, self.tree.root) for p in glob.glob(f"{self.tree.root}/docs/*.md"))
        todo = [block for path in documents for block in self.document(path)]
        todo.sort(key=lambda block: block.argument("run") is None)  # stable: programs first
        for block in todo:
            rule = getattr(self, block.language, None) if block.language in RULES else None
            self.checked += 1
            if rule is None or not rule(block):
                self.report(block, f"nothing checks this '{block.language}' block; see check_docs.py")
        for path, changes in self.changes.items():
            lines = self.read(path).split("\n")
            for block, got in sorted(changes, key=lambda change: -change[0].line):
                lines[block.line - 1:block.line - 1 + len(block.lines)] = got
            with open(os.path.join(self.tree.root, path), "w", encoding="utf-8") as file:
                file.write("\n".join(lines))
            print(f"{path}: {len(changes)} blocks written")


RULES = {"cpp", "text", "sir", "console", "sh", "diff"}


def main():
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} BUILD_TREE.json SCRATCH")
    checker = Checker(BuildTree(sys.argv[1]), sys.argv[2],
                      os.environ.get("SINTER_UPDATE_GOLDENS") == "1")
    checker.run()
    for finding in checker.findings:
        print(finding)
    print(f"{checker.checked} blocks, {len(checker.findings)} findings")
    sys.exit(1 if checker.findings or checker.checked == 0 else 0)


if __name__ == "__main__":
    main()
