"""Nothing in the tree leans on a place outside it, and no source keeps a note of work left over."""

import re

import source_tree

# Written in pieces, so that this file does not find itself.
EVERYWHERE = {
    r"\.\./" + r"shared\b": "refers to a folder outside the repository",
    r"(?<![\w.])/" + r"work/": "names a path of one machine",
}
IN_SOURCES = {r"\b(" + "TO" + "DO|FIX" + "ME|X" + r"XX)\b": "finish it or file an issue"}


def check(root):
    findings = []
    sources = source_tree.CODE + source_tree.SCRIPTS
    paths = source_tree.files(root, sources + source_tree.PROSE + ("run",))
    for path in paths:
        patterns = dict(EVERYWHERE, **(IN_SOURCES if path.endswith(sources) else {}))
        for number, line in enumerate(source_tree.read_lines(root, path), 1):
            for pattern, why in patterns.items():
                match = re.search(pattern, line)
                if match:
                    findings.append(f"{path}:{number}: '{match.group(0)}' {why}")
    return findings, len(paths)


if __name__ == "__main__":
    source_tree.main(check)
