"""No source file is longer than 600 lines: a longer one holds two things."""

import source_tree

LIMIT = 600


def check(root):
    findings = []
    paths = source_tree.files(root, source_tree.CODE + source_tree.SCRIPTS)
    for path in paths:
        length = len(source_tree.read_lines(root, path))
        if length > LIMIT:
            findings.append(f"{path}:{LIMIT + 1}: {length} lines; split it (at most {LIMIT})")
    return findings, len(paths)


if __name__ == "__main__":
    source_tree.main(check)
