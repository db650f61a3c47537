"""The structure checks find what they are for: each rule is broken once in a small tree."""

import os
import tempfile
import unittest

import check_arrows
import check_file_size
import check_format
import check_words

GOOD = {
    "runtime/include/sinter/tensor.h": "#pragma once\n#include <vector>\n",
    "runtime/tensor/tensor.cpp": "#include <sinter/tensor.h>\n",
    "ir/graph.h": "#pragma once\n#include <sinter/tensor.h>\n",
    "ir/ops.def": "OP(relu)\n",
    "ir/graph.cpp": '#include "ir/graph.h"\n#include "ir/ops.def"\n',
    "compiler/llvm/emit.h": "#pragma once\n#include <llvm/IR/IRBuilder.h>\n",
    "compiler/llvm/emit.cpp": '#include "compiler/llvm/emit.h"\n#include "ir/graph.h"\n',
    "frontend/include/sinter/nn.h": "#pragma once\n#include <sinter/tensor.h>\n",
    "tests/unit/nn_test.cpp": '#include <sinter/nn.h>\n#include "ir/graph.h"\n',
}


def run(check, extra):
    with tempfile.TemporaryDirectory() as root:
        for path, text in dict(GOOD, **extra).items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        return check(root)[0]


class Arrows(unittest.TestCase):
    def assert_found(self, path, text, where, message):
        findings = run(check_arrows.check, {path: text})
        self.assertEqual(1, len(findings), findings)
        self.assertTrue(findings[0].startswith(where + ": "), findings[0])
        self.assertIn(message, findings[0])

    def test_accepts_a_tree_without_violation(self):
        self.assertEqual([], run(check_arrows.check, {}))

    def test_private_include_pointing_right(self):
        self.assert_found("runtime/a.cpp", '// a comment\n#include "ir/graph.h"\n',
                          "runtime/a.cpp:2", "wrong way")

    def test_public_include_pointing_right(self):
        self.assert_found("compiler/a.cpp", "#include <sinter/nn.h>\n",
                          "compiler/a.cpp:1", "wrong way")

    def test_library_including_a_test(self):
        self.assert_found("ir/a.cpp", '  #  include "tests/unit/nn_test.cpp"\n',
                          "ir/a.cpp:1", "wrong way")

    def test_llvm_outside_its_folder(self):
        self.assert_found("compiler/a.cpp", "#include <llvm/IR/Module.h>\n",
                          "compiler/a.cpp:1", "LLVM outside")

    def test_llvm_in_a_test(self):
        self.assert_found("tests/unit/a.cpp", '#include "llvm-c/Core.h"\n',
                          "tests/unit/a.cpp:1", "LLVM outside")

    def test_llvm_through_a_header_of_ours(self):
        self.assert_found("compiler/a.cpp", '#include "compiler/llvm/emit.h"\n',
                          "compiler/a.cpp:1", "LLVM comes in through compiler/llvm/emit.h")

    def test_llvm_in_a_public_header(self):
        self.assert_found("compiler/include/sinter/jit.h",
                          "#pragma once\n#include <llvm/IR/Module.h>\n",
                          "compiler/include/sinter/jit.h:2", "public header includes LLVM")

    def test_public_header_including_a_private_one(self):
        self.assert_found("ir/include/sinter/a.h", '#pragma once\n#include "ir/graph.h"\n',
                          "ir/include/sinter/a.h:2", "includes a private one")

    def test_public_header_without_pragma_once(self):
        self.assert_found("ir/include/sinter/a.h", "int f();\n",
                          "ir/include/sinter/a.h:1", "#pragma once")

    def test_public_header_that_no_folder_owns(self):
        self.assert_found("ir/a.cpp", "#include <sinter/nowhere.h>\n", "ir/a.cpp:1", "no folder")

    def test_public_header_that_two_folders_own(self):
        self.assert_found("ir/include/sinter/nn.h", "#pragma once\n",
                          "ir/include/sinter/nn.h:1", "is also frontend/include/sinter/nn.h")

    def test_header_not_spelled_from_the_root(self):
        self.assert_found("ir/a.cpp", '#include "graph.h"\n', "ir/a.cpp:1", "from the root")

    def test_public_header_in_quotes(self):
        self.assert_found("ir/a.cpp", '#include "sinter/tensor.h"\n', "ir/a.cpp:1", "spell it <")

    def test_ignores_what_is_commented_out(self):
        text = '/* old:\n#include "ir/graph.h"\n*/\n// #include "ir/graph.h"\n'
        self.assertEqual([], run(check_arrows.check, {"runtime/a.cpp": text}))


class FileSize(unittest.TestCase):
    def test_600_lines_pass_and_601_fail(self):
        self.assertEqual([], run(check_file_size.check, {"ir/a.cpp": "\n" * 600}))
        findings = run(check_file_size.check, {"ir/a.cpp": "\n" * 601})
        self.assertEqual(1, len(findings))
        self.assertTrue(findings[0].startswith("ir/a.cpp:601: 601 lines"), findings[0])


class Format(unittest.TestCase):
    def test_a_stray_space_is_found_at_its_line(self):
        finding = "ir/a.cpp:2: run clang-format-19 -i ir/a.cpp"
        self.assertNotIn(finding, run(check_format.check, {"ir/a.cpp": "int a;\nint b;\n"}))
        self.assertIn(finding, run(check_format.check, {"ir/a.cpp": "int a;\nint  b;\n"}))


class Words(unittest.TestCase):
    def test_paths_outside_the_tree(self):
        for text in ["see ../" + "shared/design", "open /" + "work/data"]:
            self.assertEqual(1, len(run(check_words.check, {"NOTES.md": "\n" + text + "\n"})), text)

    def test_notes_of_work_left_over(self):
        self.assertEqual(1, len(run(check_words.check, {"ir/a.cpp": "// FIX" + "ME later\n"})))

    def test_accepts_ordinary_text(self):
        self.assertEqual([], run(check_words.check, {"NOTES.md": "a network/work/share\n"}))


if __name__ == "__main__":
    unittest.main()
