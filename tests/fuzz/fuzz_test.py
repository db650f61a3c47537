"""sinter fuzz, reduce and check --rounding: what they find, write and print."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SINTER = os.path.abspath(sys.argv.pop(1))
# Programs that the fuzzer found, reduced: what was wrong, the command that shows it, the module.
FOUND = pathlib.Path(__file__).parent / "found"

# f32 loses all of x here, f64 nothing.
CANCELS = """
func @cancel(%x: f32[n]) {
  %big = constant {value = 1e8} : f32[]
  %a = add %x, %big : f32[n]
  %b = sub %a, %big : f32[n]
  return %b
}
"""

STEP = """
global @w : f32[6, 5]
func @step(%x: f32[n, 5], %y: f32[n, 6], %rate: f32[]) {
  %h = contraction %x, @w {a = [1], b = [1]} : f32[n, 6]
  %t = tanh %h : f32[n, 6]
  %e = exp %t : f32[n, 6]
  %loss = mse_loss %e, %y : f32[]
  %g = gradient %loss, @w : f32[6, 5]
  %0 = mul %rate, %g : f32[6, 5]
  %1 = sub @w, %0 : f32[6, 5]
  assign @w, %1
  return %loss, %h
}
"""


def sinter(*arguments, text="", folder=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SINTER_")}
    return subprocess.run([SINTER, *arguments], input=text, capture_output=True, text=True,
                          env=clean, cwd=folder, check=False)


class Fuzz(unittest.TestCase):
    def assert_good(self, done):
        self.assertEqual((0, ""), (done.returncode, done.stderr), done.stdout)
        return done.stdout

    def test_every_op_takes_part_and_bounds_are_narrow(self):
        with tempfile.TemporaryDirectory() as folder:
            text = self.assert_good(sinter("fuzz", "--seed", "7000", "--count", "150",
                                           "--list-ops", folder=folder))
        counts = [int(n) for n in re.findall(r"^\w+ +in (\d+) programs$", text, re.M)]
        self.assertGreater(len(counts), 30)
        # 150 programs are too few for the rarest.
        self.assertLess(sum(n == 0 for n in counts), len(counts) / 10, text)
        self.assertGreater(float(re.search(r"([\d.]+) % of them", text).group(1)), 90, text)

    def test_the_same_seed_is_the_same_campaign(self):
        first, second = (re.sub(r"in [\d.]+ s", "", self.assert_good(
            sinter("fuzz", "--seed", "3", "--count", "5", "--list-ops"))) for _ in range(2))
        self.assertEqual(first, second)

    def test_rounding_allows_what_rounding_does(self):
        self.assertEqual(1, sinter("check", "-", "--off=simplify", text=CANCELS).returncode)
        text = self.assert_good(sinter("check", "-", "--rounding", "--off=simplify", text=CANCELS))
        self.assertIn("func @cancel (n = 1, 7, 16): good", text)

    def test_rounding_takes_any_order_of_passes(self):
        self.assert_good(sinter("check", "-", "--rounding", "--passes",
                                "dce,differentiate,expand,orient_reductions,fuse,plan_memory",
                                "--threads", "3", "--n", "5", "1", text=STEP))

    def test_what_was_found_stays_mended(self):
        files = sorted(FOUND.glob("*.sir"))
        self.assertGreater(len(files), 3)
        for path in files:
            with self.subTest(path.name):
                command = path.read_text(encoding="utf-8").splitlines()[1].split()
                self.assertEqual(["//", "sinter", "check", path.name], command[:4])
                self.assertIn(": good\n", self.assert_good(sinter("check", str(path),
                                                                  *command[4:])))

    def test_reduce_keeps_what_the_command_asks_for(self):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "small.sir")
            done = sinter("reduce", "-", "-o", out, "--", "grep", "-q", "= exp ", text=STEP)
            self.assertEqual(0, done.returncode, done.stderr)
            with open(out, encoding="utf-8") as file:
                text = file.read()
            self.assertIn("exp ", text)
            for gone in ["tanh", "gradient", "assign", "global"]:
                self.assertNotIn(gone, text.split("func", 1)[1])
            self.assertRegex(text, r"\n// sinter check .*small\.sir --rounding --func step")
            self.assert_good(sinter("opt", out, "--verify"))
            self.assertIn("8 ops became 1", done.stderr)

    def test_reduce_refuses_what_does_not_fail(self):
        done = sinter("reduce", "-", text=STEP)
        self.assertEqual(1, done.returncode)
        self.assertIn("there is nothing to reduce", done.stderr)
        self.assertIn("= help: ", done.stderr)


if __name__ == "__main__":
    unittest.main()
