"""Holds the parts of an op together where neither compiler nor linker does: every definition in
ir/ops/ has its line in ir/ops.def, and states what an op must state."""

import glob
import os
import re

import source_tree

TABLE = "ir/ops.def"
REQUIRED = ["name", "summary", "operands", "infer", "vjp"]


def definitions(root):
    """(path, line, name, block) of each `const OpDef op_NAME = { ... };`."""
    for path in sorted(glob.glob(os.path.join(root, "ir/ops/*.cpp"))):
        path = os.path.relpath(path, root)
        text = "\n".join(source_tree.read_lines(root, path))
        for match in re.finditer(r"^const OpDef op_(\w+) = \{\n(.*?)^\};", text, re.M | re.S):
            yield path, text.count("\n", 0, match.start()) + 1, match.group(1), match.group(2)


def check_table(root):
    findings, defined = [], {}
    lines = source_tree.read_lines(root, TABLE)
    listed = [re.match(r"SINTER_OP\((\w+)\)", line) for line in lines]
    table = {match.group(1): i for i, match in enumerate(listed, 1) if match}
    for path, line, name, block in definitions(root):
        where = f"{path}:{line}: op_{name}"
        if name not in table:
            findings.append(f"{where} has no line in the table: add SINTER_OP({name}) to {TABLE}")
        if name in defined:
            findings.append(f"{where} is defined in {defined[name]} too: drop one")
        defined[name] = path
        given = set(re.findall(r"^    \.(\w+)", block, re.M))
        for field in REQUIRED:
            if field not in given:
                findings.append(f"{where} does not state .{field}: see ir/op.h")
        written = re.search(r'\.name = "(\w*)"', block)
        if written and written.group(1) != name:
            findings.append(f'{where} is named "{written.group(1)}": write .name = "{name}"')
    for name, line in table.items():
        if name not in defined:
            findings.append(f"{TABLE}:{line}: {name} has no definition: add a block "
                            f"'const OpDef op_{name}' to a file in ir/ops/")
    return findings


def check(root):
    return check_table(root), len(list(definitions(root)))


if __name__ == "__main__":
    source_tree.main(check)
