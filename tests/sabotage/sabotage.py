"""Proof by sabotage: puts one fault at a time into the sources and asks the tests to find it.

usage: sabotage.py BUILD SCRATCH [--check | --count N [--seed S] | --only WORDS] [--without-goldens]
                   [--without-control]

faults.txt beside this file lists the faults: a name in words, a source file, and text of that file
(`-`, found there exactly once) with what takes its place (`+`). For each one the source is
compiled by its own command of BUILD, each test program is linked with that object in place of the
original, and the programs run until one fails, crashes or takes too long. Nothing in the tree or in
BUILD changes. The exit status is 0 if every fault was found. --check only looks whether the list
fits the sources. Without --count all faults are tried. The programs must be built and must pass
without a fault, which is tried first, or is known --without-control.
"""

import argparse
import json
import os
import random
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LIST = os.path.join(HERE, "faults.txt")
# Far longer than the slowest program takes; a fault may well make a loop endless.
SECONDS = 400


class Fault:
    def __init__(self, line):
        self.line, self.name, self.file, self.old, self.new = line, "", "", [], []

    def mutated(self):
        """The source with the fault, or a complaint."""
        with open(os.path.join(ROOT, self.file), encoding="utf-8") as file:
            text = file.read()
        old, new = "\n".join(self.old), "\n".join(self.new)
        if old == new:
            return None, "the fault changes nothing"
        times = text.count(old)
        if times != 1:
            return None, f"{self.file} holds the text {times} times, not once:\n{old}"
        return text.replace(old, new), None


def read_faults(path=LIST):
    faults = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file.read().splitlines(), 1):
            if line.startswith("fault: "):
                faults.append(Fault(number))
                faults[-1].name = line[len("fault: "):]
            elif line.startswith("file: "):
                faults[-1].file = line[len("file: "):]
            elif line.startswith("-"):
                faults[-1].old.append(line[2:])
            elif line.startswith("+"):
                faults[-1].new.append(line[2:])
            elif line and not line.startswith("#"):
                sys.exit(f"{path}:{number}: neither fault:, file:, - nor +: {line}")
    return faults


def check(faults):
    complaints = []
    for fault in faults:
        _, complaint = fault.mutated()
        if complaint:
            complaints.append(f"{LIST}:{fault.line}: {fault.name}: {complaint}")
    names = [fault.name for fault in faults]
    complaints += [f"two faults are named {n}" for n in sorted(set(names)) if names.count(n) > 1]
    return complaints


class Campaign:
    def __init__(self, build, scratch, goldens):
        self.build, self.scratch = os.path.abspath(build), os.path.abspath(scratch)
        with open(os.path.join(self.build, "compile_commands.json"), encoding="utf-8") as file:
            self.commands = {os.path.relpath(c["file"], ROOT): c["command"]
                             for c in json.load(file)}
        folder = os.path.join(ROOT, "tests/golden")
        golden_folders = sorted(
            os.path.join(folder, name) for name in os.listdir(folder)
            if name != "runner" and os.path.isdir(os.path.join(folder, name)))
        # Quickest first; each with its arguments.
        self.programs = [("run_goldens", [f]) for f in golden_folders] if goldens else []
        self.programs += [("sinter_op_tests", ["--abort"]), ("sinter_tests", ["--abort"]),
                          ("sinter_error_tests", ["--abort"])]
        self.links = {name: self.link_command(name) for name, _ in self.programs}

    def link_command(self, program):
        done = subprocess.run(["ninja", "-C", self.build, "-t", "commands", f"bin/{program}"],
                              capture_output=True, text=True, check=True)
        last = done.stdout.strip().splitlines()[-1]
        return shlex.split(last.removeprefix(": && ").removesuffix(" && :"))

    def run(self, command, cwd):
        try:
            done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False,
                                  errors="replace", timeout=SECONDS, env=self.environment())
            return done.returncode, done.stdout + done.stderr
        except subprocess.TimeoutExpired:
            return -1, f"took more than {SECONDS} s"

    def environment(self):
        return dict(os.environ, SINTER_UPDATE_GOLDENS="0")

    def check_control(self):
        """A test that fails by itself would find every fault."""
        for program, arguments in self.programs:
            code, text = self.run([os.path.join(self.build, "bin", program), *arguments],
                                     self.build)
            if code:
                sys.exit(f"{program} fails without a fault: {first_finding(text, code)}")

    def find(self, number, fault):
        """What found the fault, or None. Raises if it does not build."""
        folder = os.path.join(self.scratch, str(number))
        source = os.path.join(folder, fault.file)
        os.makedirs(os.path.dirname(source), exist_ok=True)
        with open(source, "w", encoding="utf-8") as file:
            file.write(fault.mutated()[0])
        compile_command = shlex.split(self.commands[fault.file])
        compile_command[compile_command.index("-c") + 1] = source
        output = os.path.join(folder, "fault.o")
        compile_command[compile_command.index("-o") + 1] = output
        code, text = self.run(compile_command, self.build)
        if code:
            raise RuntimeError(f"{fault.name} does not compile:\n{text}")
        original = compile_command_object(self.commands[fault.file])
        library = library_of(original)
        for program, arguments in self.programs:
            if original not in self.links[program] and library not in self.links[program]:
                continue  # this program holds none of it
            binary = os.path.join(folder, program)
            if not os.path.exists(binary):
                link = [output if part == original else part for part in self.links[program]]
                at = link.index("-o")
                link[at + 1] = binary
                # What this object defines is not taken from the libraries behind it.
                if output not in link:
                    link.insert(at + 2, output)
                code, text = self.run(link, self.build)
                if code:
                    raise RuntimeError(f"{fault.name} does not link:\n{text}")
            # In a folder of its own: some tests write files.
            code, text = self.run([binary, *arguments], folder)
            if code:
                return f"{program}: {first_finding(text, code)}"
        return None


def compile_command_object(command):
    words = shlex.split(command)
    return words[words.index("-o") + 1]


def library_of(object_file):
    """The archive that holds an object, by the names that CMake gives them."""
    target = object_file.split("/CMakeFiles/")[1].split(".dir/")[0]
    return f"lib/lib{target}.a"


def first_finding(text, code):
    """The name of the test case or file that failed."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if set(line) == {"-"} and len(line) > 70 and i + 1 < len(lines):
            return lines[i + 1].strip()
        if ".sir" in line:
            return os.path.basename(line.split(".sir")[0]) + ".sir"
    return f"exit status {code}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("scratch", nargs="?")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--without-goldens", action="store_true")
    parser.add_argument("--without-control", action="store_true")
    options = parser.parse_args()

    faults = read_faults()
    complaints = check(faults)
    if complaints:
        sys.exit("\n".join(complaints))
    if options.check:
        print(f"{len(faults)} faults fit the sources")
        return
    chosen = [f for f in faults if options.only in f.name]
    if options.count is not None:
        chosen = random.Random(options.seed).sample(chosen, min(options.count, len(chosen)))
    if not chosen:
        sys.exit("no fault to try")
    campaign = Campaign(options.build, options.scratch, not options.without_goldens)
    if not options.without_control:
        campaign.check_control()

    def attempt(fault):
        try:
            return fault, campaign.find(faults.index(fault), fault), None
        except RuntimeError as error:
            return fault, None, str(error)

    missed = broken = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for fault, found, error in pool.map(attempt, chosen):
            broken += error is not None
            missed += found is None and error is None
            print(f"{'broken' if error else 'found' if found else 'MISSED'}: {fault.name}"
                  f"{f'  ({found})' if found else ''}", flush=True)
            if error:
                print(error)
    print(f"{len(chosen) - missed - broken} of {len(chosen)} faults found")
    sys.exit(1 if missed or broken else 0)


if __name__ == "__main__":
    main()
