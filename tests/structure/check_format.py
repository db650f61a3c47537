"""Every C++ source stands as clang-format 19 would leave it (.clang-format says how)."""

import re
import subprocess

import source_tree

FINDING = re.compile(r"^(.+?):(\d+):\d+: error: code should be clang-formatted")


def check(root):
    paths = source_tree.files(root, (".h", ".cpp"))
    done = subprocess.run(["clang-format-19", "--dry-run", "-Werror", *paths], cwd=root,
                          capture_output=True, text=True, check=False)
    found = [m for m in map(FINDING.match, done.stderr.splitlines()) if m]
    first = {}
    for match in found:
        first.setdefault(match.group(1), match.group(2))
    findings = [f"{path}:{line}: run clang-format-19 -i {path}" for path, line in first.items()]
    if done.returncode and not findings:
        findings.append(done.stderr)
    return findings, len(paths)


if __name__ == "__main__":
    source_tree.main(check)
