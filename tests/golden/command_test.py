"""The sinter command: exit codes, where output and errors go, and that its stages parse back."""

import os
import struct
import subprocess
import sys
import tempfile
import unittest

SINTER = sys.argv.pop(1)

STEP = """
global @hidden.weight : f32[10, 1]
global @hidden.bias : f32[10]
func @train_step(%x: f32[n, 1], %y: f32[n, 10], %lr: f32[]) {
  %hidden = linear %x, @hidden.weight, @hidden.bias : f32[n, 10]
  %a = tanh %hidden : f32[n, 10]
  %loss = mse_loss %a, %y : f32[]
  %g = gradient %loss, @hidden.weight : f32[10, 1]
  %gx = gradient %loss, %hidden : f32[n, 10]
  %0 = mul %lr, %g : f32[10, 1]
  %1 = sub @hidden.weight, %0 : f32[10, 1]
  assign @hidden.weight, %1
  return %loss, %gx
}
func @predict(%x: f32[n, 1]) {
  %hidden = linear %x, @hidden.weight, @hidden.bias : f32[n, 10]
  return %hidden
}
"""


def sinter(*arguments, text=STEP, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SINTER_")}
    return subprocess.run([SINTER, *arguments], input=text, capture_output=True, text=True,
                          env=dict(clean, **environment), check=False)


def write_npy(path, dtype, shape, data):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (63 - (len(header) + 10) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)


class Command(unittest.TestCase):
    def assert_good(self, done):
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        return done.stdout

    def assert_no(self, done, message):
        self.assertEqual((1, ""), (done.returncode, done.stdout))
        self.assertIn(message, done.stderr)
        self.assertIn("= help: ", done.stderr)

    def assert_usage(self, done):
        self.assertEqual(2, done.returncode, done.stderr)
        self.assertIn("--help", done.stderr + done.stdout)

    def test_derivatives_of_too_high_an_order_are_refused(self):
        lines = ["func @f(%x: f32[]) {", "%0 = mul %x, %x : f32[]"]
        for i in range(1, 40):
            op = f"exp %{i - 1}" if i % 2 else f"gradient %{i - 1}, %x"
            lines.append(f"%{i} = {op} : f32[]")
        text = "\n".join(lines + ["return %39", "}"])
        self.assert_no(sinter("opt", "-", text=text), "ops to differentiate, more than 100000")

    def test_run_refuses_what_would_not_end(self):
        splat = "f32[16777216, 16777216]"
        text = (f"func @f() {{\n%c = constant {{value = 0.5}} : {splat}\n%e = exp %c : {splat}\n"
                "%s = sum %e {axes = [0, 1]} : f32[]\nreturn %s\n}")
        self.assert_no(sinter("run", "-", text=text), "computes 5.6e+14 elements")

    def test_help_has_an_example_and_the_environment(self):
        text = self.assert_good(sinter("--help"))
        for variable in ["DUMP", "JIT", "THREADS", "TIME", "OFF"]:
            self.assertIn("SINTER_" + variable, text)
        for command in ["dump", "opt", "check", "inspect", "run", "bench", "diff", "fuzz",
                        "reduce"]:
            self.assertRegex(self.assert_good(sinter(command, "--help")),
                             r"Examples?:\n  sinter " + command)

    def test_usage(self):
        for arguments in [[], ["dump"], ["opt"], ["check"], ["inspect"], ["undo"], ["dump", "-", "--stage=x"],
                          ["check", "-", "--n", "0"], ["opt", "-", "--wrong"], ["run"],
                          ["diff", "-"], ["reduce"], ["fuzz", "--count", "0"],
                          ["check", "-", "--grid", "4"]]:
            self.assert_usage(sinter(*arguments))

    def test_dump_prints_each_stage_as_text_that_parses(self):
        seen = set()
        for stage in ["forward", "backward", "expanded", "fused", "plan"]:
            text = self.assert_good(sinter("dump", "-", "--stage=" + stage, "--max-batch=64"))
            self.assert_good(sinter("opt", "-", "--verify", text=text))
            self.assertEqual(stage == "forward", "gradient" in text)
            self.assertEqual(stage in ("fused", "plan"), "kernel {" in text)
            self.assertEqual(stage == "plan", "max_batch 64" in text)
            seen.add(text)
        self.assertEqual(5, len(seen))

    def test_dump_prints_code(self):
        llvm = self.assert_good(sinter("dump", "-", "--stage=llvm"))
        self.assertIn("; func @train_step\n", llvm)
        self.assertIn("define ", llvm)
        assembly = self.assert_good(sinter("dump", "-", "--stage=asm", "--func=predict"))
        self.assertIn("# func @predict\n", assembly)
        self.assertIn("predict:", assembly)
        self.assertNotIn("train_step", assembly)
        self.assert_no(sinter("dump", "-", "--stage=asm", "--triple=pentagon"), "no code generator")

    def test_dump_prints_one_function(self):
        text = self.assert_good(sinter("dump", "-", "--stage=forward", "--func=predict"))
        self.assertTrue(text.startswith("func @predict("), text)
        self.assertNotIn("train_step", text)
        self.assert_no(sinter("dump", "-", "--func=predikt"), "did you mean predict?")

    def test_dump_draws(self):
        text = self.assert_good(sinter("dump", "-", "--dot", "--func=predict"))
        self.assertTrue(text.startswith('digraph "predict" {\n'), text)
        self.assertTrue(text.endswith("}\n"))
        self.assertIn('label="f32[10, 1]"', text)
        self.assertIn("subgraph cluster_", text)
        self.assert_no(sinter("dump", "-", "--dot", "--stage=asm"), "--dot draws modules")

    def test_run_prints_saves_and_compares(self):
        program = """
global @w : f32[2]
func @f(%x: f32[n, 2]) {
  %y = mul %x, @w : f32[n, 2]
  %s = sum %y {axes = [0, 1]} : f32[]
  assign @w, @w
  return %y, %s
}
"""
        with tempfile.TemporaryDirectory() as folder:
            path = lambda name: os.path.join(folder, name)
            write_npy(path("x.npy"), "<f4", (2, 2), struct.pack("<4f", 1, 2, 3, 4))
            write_npy(path("w.npy"), "<f4", (2,), struct.pack("<2f", 10, 100))
            given = ["run", "-", "--inputs", path("x.npy"), "w=" + path("w.npy"), "--save", folder]
            text = self.assert_good(sinter(*given, text=program))
            self.assertEqual("result 0 %y = [[ 10. 200.]\n [ 30. 400.]]\nresult 1 %s = 640.0\n"
                             "global @w = [ 10. 100.]\n", text)
            self.assertEqual(text, self.assert_good(sinter(*given, text=program, SINTER_JIT="0")))
            self.assert_good(sinter(*given, "--expect", path("result0.npy"), path("result1.npy"),
                                    text=program))
            write_npy(path("no.npy"), "<f4", (2, 2), struct.pack("<4f", 10, 200, 30.5, 401))
            done = sinter(*given, "--quiet", "--expect", path("no.npy"), text=program)
            self.assertEqual(1, done.returncode)
            self.assertIn("2 of 4 elements differ, most at [1, 1]: 400 where 401 is expected",
                          done.stdout)
            self.assert_good(sinter(*given, "--expect", path("no.npy"), "--tolerance", "0.1",
                                    text=program))
            self.assert_no(sinter("run", "-", "--inputs", path("w.npy"), text=program),
                           "x is f32[n, 2] but")
            self.assert_no(sinter("run", "-", "--inputs", "v=" + path("w.npy"), text=program),
                           "no argument or global v")
        # Without files: the same random inputs each time.
        first = self.assert_good(sinter("run", "-", "--n", "3", text=program))
        self.assertEqual(first, self.assert_good(sinter("run", "-", "--n", "3", text=program)))
        self.assertNotEqual(first, sinter("run", "-", "--n", "3", "--seed", "2",
                                          text=program).stdout)

    def test_diff_names_the_first_op_that_parts(self):
        with tempfile.TemporaryDirectory() as folder:
            other = os.path.join(folder, "other.sir")
            for text, status, message in [
                    (self.assert_good(sinter("dump", "-", "--stage=plan")), 0, "results agree"),
                    (STEP.replace("tanh", "relu"), 1, "%a = relu %hidden"),
                    (STEP.replace("%lr: f32[]", "%lr: f32[], %z: f32[]"), 1, "other arguments")]:
                with open(other, "w", encoding="utf-8") as file:
                    file.write(text)
                done = sinter("diff", "-", other)
                self.assertEqual(status, done.returncode, done.stdout + done.stderr)
                self.assertIn(message, done.stdout + done.stderr)

    def test_opt_runs_the_passes_asked_for(self):
        everything = self.assert_good(sinter("opt", "-"))
        self.assertIn("kernel {", everything)
        some = self.assert_good(sinter("opt", "-", "--passes=differentiate,dce"))
        self.assertNotIn("kernel {", some)
        self.assertNotIn("gradient", some)
        self.assert_no(sinter("opt", "-", "--passes=fuze"), "did you mean fuse?")

    def test_opt_shows_every_stage(self):
        done = sinter("opt", "-", "--print-after-all", "--off=cse")
        self.assertEqual(0, done.returncode)
        self.assertIn("// ---- forward\n", done.stderr)
        self.assertIn("// ---- fuse\n", done.stderr)
        self.assertNotIn("// ---- cse", done.stderr)

    def test_opt_writes_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.sir")
            self.assertEqual("", self.assert_good(sinter("opt", "-", "-o", path)))
            self.assert_good(sinter("opt", path, "--verify"))
            self.assert_no(sinter("opt", "-", "-o", os.path.join(folder, "no", "out.sir")),
                           "cannot write")

    def test_opt_lists_the_passes(self):
        names = [line.split()[0]
                 for line in self.assert_good(sinter("opt", "--list-passes")).splitlines()]
        self.assertLess(names.index("differentiate"), names.index("fuse"))

    def test_bad_input(self):
        self.assert_no(sinter("dump", "no_such_file.sir"), "cannot read no_such_file.sir")
        self.assert_no(sinter("opt", "-", "--verify", text="func @f() {\n  %a = rellu\n"),
                       "--> <stdin>:2")
        self.assert_no(sinter("dump", "-", SINTER_OFF="nothing"), "SINTER_OFF=nothing")

    def test_check_compares_results_globals_and_gradients(self):
        text = self.assert_good(sinter("check", "-", "--n", "1", "9", "--iters", "2"))
        for line in ["result 0 %loss : f32[]", "global @hidden.weight : f32[10, 1]",
                     "gradient of %loss by @hidden.weight", "gradient of %loss by %hidden",
                     "result 0 %hidden : f32[n, 10]"]:
            self.assertIn(line, text)
        self.assertNotIn("DIFFERS", text)

    def test_a_planned_module_is_compiled_as_it_is(self):
        plan = self.assert_good(sinter("dump", "-", "--stage=plan", "--max-batch=9"))
        text = self.assert_good(sinter("check", "-", "--n", "1", "9", text=plan))
        self.assertIn("global @hidden.weight : f32[10, 1]", text)
        self.assertIn("define ", self.assert_good(sinter("dump", "-", "--stage=llvm", text=plan)))
        self.assert_no(sinter("dump", "-", text=plan), "planned already")
        self.assert_no(sinter("opt", "-", text=plan), "planned already")
        self.assert_no(sinter("check", "-", "--n", "10", text=plan), "planned for 9 rows")
        fused = self.assert_good(sinter("dump", "-", "--stage=fused"))
        self.assert_no(sinter("check", "-", text=fused), "not every function has a plan")

    def test_bench_times_functions_and_kernels(self):
        text = self.assert_good(sinter("bench", "-", "--max-batch=64", "--kernels", "--blocks=1"))
        self.assertRegex(text, r"func @train_step \(n = 64\): [0-9.]+ us\n")
        self.assertIn("GFLOP/s", text)
        self.assertIn(" k0_", text)
        self.assertIn("all kernels, each run alone", text)
        plan = self.assert_good(sinter("dump", "-", "--stage=plan", "--max-batch=9"))
        self.assert_no(sinter("bench", "-", "--n=10", text=plan), "plan it for more")

    def test_too_little_memory(self):
        self.assert_no(sinter("check", "-", "--n", "1",
                              text="func @f(%x: f64[n, 281474976710656]) {\n  return %x\n}\n"),
                       "not enough memory")

    def test_check_says_no_where_f32_is_not_enough(self):
        # 1e8 + x - 1e8 loses all of x in f32, not in f64.
        done = sinter("check", "-", "--off=simplify", text="""
func @cancel(%x: f32[n]) {
  %big = constant {value = 1e8} : f32[]
  %a = add %x, %big : f32[n]
  %b = sub %a, %big : f32[n]
  return %b
}
""")
        self.assertEqual(1, done.returncode, done.stdout + done.stderr)
        self.assertIn("DIFFERS", done.stdout)


if __name__ == "__main__":
    unittest.main()
