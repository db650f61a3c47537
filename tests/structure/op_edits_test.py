"""Forgetting one part of a new op fails, with a message that says what is missing.

The op is the one that docs/adding_an_op.md adds: its diff is applied to copies of the files that it
changes, less one part, and whatever is the first to notice is run on them. The whole diff, as the
control, makes everything pass.
"""

import os
import shutil
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor

TREE, SCRATCH, OBJECTS = sys.argv.pop(1), sys.argv.pop(1), sys.argv.pop(1).split("|")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "docs"))

import check_docs  # noqa: E402  (found through the line above)
import op_edits  # noqa: E402
from build_tree import BuildTree  # noqa: E402

TABLE, DEFINITION, ROW = "ir/ops.def", "ir/ops/elementwise.cpp", "tests/ops/op_cases.cpp"
HEADER, FUNCTION = "frontend/include/sinter/functions.h", "frontend/functions/elementwise.cpp"

tree = BuildTree(TREE)


def read(path):
    with open(os.path.join(tree.root, path), encoding="utf-8") as file:
        return file.read()


def diff_of_the_page():
    page = "docs/adding_an_op.md"
    lines = [b.lines for b in check_docs.blocks(page, read(page)) if b.language == "diff"]
    return dict(check_docs.diff_files(lines[0]))


def overlay(name, without=()):
    """A folder with the changed files as the diff leaves them, those of `without` unchanged."""
    folder = os.path.join(SCRATCH, name)
    shutil.rmtree(folder, ignore_errors=True)
    for path, hunks in diff_of_the_page().items():
        text = read(path)
        for hunk in hunks if path not in without else []:
            text = check_docs.patched(text, hunk)
            if text is None:
                raise AssertionError(f"the diff of docs/adding_an_op.md does not apply to {path}")
        os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
        with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
            file.write(text)
    return folder


pool = ThreadPoolExecutor(2)


def compiled(folder, source):
    """Starts to compile a source of the tree as the overlay has it: (object, messages) to come."""
    changed = os.path.join(folder, source)
    path = changed if os.path.exists(changed) else os.path.join(tree.root, source)
    output = os.path.join(folder, source.replace("/", "_") + ".o")

    def work():
        done = tree.compile(path, output, overlay=folder)
        return output, done.stderr if done.returncode else ""
    return pool.submit(work)


class Edits(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.whole = overlay("whole")
        cls.changed = {source: compiled(cls.whole, source)
                       for source in [ROW, DEFINITION, FUNCTION, "ir/op.cpp"]}
        cls.no_row = compiled(overlay("no_row", without=[ROW]), ROW)
        cls.no_function = compiled(overlay("no_function", without=[HEADER, FUNCTION]), ROW)
        cls.no_line = compiled(overlay("no_line", without=[TABLE]), FUNCTION)

    def object_of(self, job):
        path, messages = job.result()
        self.assertEqual("", messages)
        return path

    def coverage(self, row):
        """Links tests/ops/coverage_test.cpp with the new op and this table of rows, and runs it."""
        program = os.path.join(SCRATCH, "coverage_test")
        new = [self.object_of(job) for source, job in self.changed.items() if source != ROW]
        done = tree.link([*new, self.object_of(row), *OBJECTS], program)
        self.assertEqual(0, done.returncode, done.stderr)
        return tree.run(program, "every op has a row in the table or a reason for having none")

    def test_all_edits_together_pass(self):
        self.assertEqual([], op_edits.check_table(self.table_of(self.whole)))
        done = self.coverage(self.changed[ROW])
        self.assertEqual(0, done.returncode, done.stdout)

    def test_the_row_is_missing(self):
        done = self.coverage(self.no_row)
        self.assertNotEqual(0, done.returncode)
        self.assertIn("op isru has no row in tests/ops/op_cases.cpp: add one", done.stdout)

    def test_the_definition_is_missing(self):
        done = tree.link([self.object_of(self.changed["ir/op.cpp"]), *OBJECTS],
                         os.path.join(SCRATCH, "undefined"))
        self.assertNotEqual(0, done.returncode)
        self.assertIn("undefined reference to `sinter::ir::op_isru'", done.stderr)
        self.assert_finding(overlay("no_definition", without=[DEFINITION]),
                            "isru has no definition: add a block 'const OpDef op_isru'")

    def test_the_line_in_the_table_is_missing(self):
        self.assert_finding(os.path.join(SCRATCH, "no_line"),
                            "op_isru has no line in the table: add SINTER_OP(isru) to "
                            "ir/ops.def")
        self.assert_message(self.no_line, "isru", "is not a member of")

    def test_the_function_is_missing(self):
        self.assert_message(self.no_function, "isru", "was not declared in this scope")

    def test_the_derivative_is_missing(self):
        folder = overlay("no_derivative")
        path = os.path.join(folder, DEFINITION)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        start = text.index("    .vjp = ", text.index("op_isru"))
        with open(path, "w", encoding="utf-8") as file:
            file.write(text[:start] + text[text.index("    .scalar = ", start):])
        self.assert_message(compiled(folder, DEFINITION), "VjpRule")
        self.assert_finding(folder, "op_isru does not state .vjp")

    def assert_message(self, job, *words):
        _, messages = job.result()
        for word in words:
            self.assertIn(word, messages)

    def table_of(self, folder):
        """The whole table beside the changed files, for the check of the table."""
        for name in os.listdir(os.path.join(tree.root, "ir/ops")):
            if not os.path.exists(os.path.join(folder, "ir/ops", name)):
                shutil.copy(os.path.join(tree.root, "ir/ops", name), os.path.join(folder, "ir/ops"))
        return folder

    def assert_finding(self, folder, message):
        findings = op_edits.check_table(self.table_of(folder))
        self.assertEqual(1, len(findings), findings)
        self.assertIn(message, findings[0])


if __name__ == "__main__":
    unittest.main()
