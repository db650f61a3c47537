"""What the structure checks share: which files count as ours, and how a finding is reported."""

import os
import sys

LAYERS = ["runtime", "ir", "compiler", "frontend"]
LEAVES = ["tools", "examples", "tests", "bench"]
CODE = (".h", ".hpp", ".cpp", ".c", ".def", ".inc")
SCRIPTS = (".py", ".sh", ".cmake", "CMakeLists.txt")
PROSE = (".md", ".json", ".txt", ".sir")
SKIPPED_FOLDERS = {"build", "__pycache__"}


def files(root, suffixes):
    """Paths relative to root, in a stable order, of the files whose names end in a suffix."""
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(
            name for name in subfolders
            if name not in SKIPPED_FOLDERS and (not name.startswith(".") or name == ".ci"))
        for name in sorted(names):
            if name.endswith(suffixes):
                found.append(os.path.relpath(os.path.join(folder, name), root))
    return found


def read_lines(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read().splitlines()


def main(check):
    """Runs check(root) -> (findings, files looked at); a check that saw no file has failed."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} ROOT")
    findings, looked_at = check(sys.argv[1])
    for finding in findings:
        print(finding)
    print(f"{looked_at} files, {len(findings)} findings")
    sys.exit(1 if findings or looked_at == 0 else 0)
