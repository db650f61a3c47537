"""The checker of the documentation finds what it is for."""

import unittest

import check_docs


class Blocks(unittest.TestCase):
    def test_a_block_has_its_mark_and_the_line_of_its_first_line(self):
        found = check_docs.blocks("a.md", "x\n<!-- output: net, tolerance: 1e-3 -->\n```text\n1\n```\n")
        self.assertEqual(1, len(found))
        self.assertEqual(("text", 4, ["1"]), (found[0].language, found[0].line, found[0].lines))
        self.assertEqual("net", found[0].argument("output"))
        self.assertEqual("1e-3", found[0].argument("tolerance"))
        self.assertIsNone(found[0].argument("run"))

    def test_a_block_without_an_end_is_an_error(self):
        with self.assertRaises(ValueError):
            check_docs.blocks("a.md", "```cpp\nint x;\n")


class Comparison(unittest.TestCase):
    def test_numbers_within_the_tolerance_are_equal(self):
        self.assertIsNone(check_docs.differs(["loss 0.1000"], ["loss 0.1001"], 1e-3))
        self.assertIsNotNone(check_docs.differs(["loss 0.1000"], ["loss 0.2000"], 1e-3))
        self.assertIsNotNone(check_docs.differs(["loss 0.1000"], ["cost 0.1000"], 1e-3))
        self.assertIsNotNone(check_docs.differs(["loss 0.1000"], ["loss 0.1001"]))

    def test_a_missing_or_extra_line_is_a_difference(self):
        self.assertIsNotNone(check_docs.differs(["a", "b"], ["a"]))
        self.assertIsNotNone(check_docs.differs(["a"], ["a", "b"]))

    def test_dots_stand_for_any_lines(self):
        self.assertIsNone(check_docs.differs(["a", "...", "z"], ["a", "b", "c", "z"]))
        self.assertIsNone(check_docs.differs(["a", "..."], ["a"]))
        self.assertIsNotNone(check_docs.differs(["a", "...", "z"], ["a", "b"]))


class Diff(unittest.TestCase):
    LINES = ["--- a/f", "+++ b/f", "@@ -1,2 +1,3 @@", " one", "+new", " two"]

    def test_applies_where_its_lines_stand_once(self):
        [(path, [hunk])] = check_docs.diff_files(self.LINES)
        self.assertEqual("f", path)
        self.assertEqual("zero\none\nnew\ntwo\n", check_docs.patched("zero\none\ntwo\n", hunk))
        self.assertIsNone(check_docs.patched("one\n2\n", hunk))
        self.assertIsNone(check_docs.patched("one\ntwo\none\ntwo\n", hunk))


if __name__ == "__main__":
    unittest.main()
