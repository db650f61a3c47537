"""A save that is killed or fails, at each of its system calls in turn, never damages a file.

Killed at any system call, the file is the old one or the new one, whole, and the next save removes
what was left behind. When a system call fails, the save says so, the old file is in place, and
nothing is left behind. strace does both; where it may not trace, the test is skipped (exit 77).
"""

import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SAVER, SHORT_WRITE, KINDS = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
OLD, NEW, THIRD = 1, 2, 3
BEGIN = 'access("the save begins"'

# Calls of the C library for memory are no part of a save.
MEMORY = {"brk", "mmap", "munmap", "mprotect", "madvise", "futex", "exit_group", "mremap"}
# What each call of a save may report.
ERRORS = {"openat": ["ENOSPC", "EACCES", "EMFILE"], "write": ["ENOSPC", "EIO", "EDQUOT"],
          "fsync": ["EIO", "ENOSPC"], "rename": ["EIO", "ENOSPC"], "close": ["EIO"],
          "fcntl": ["EMFILE"]}


def run(*arguments, **more):
    return subprocess.run(arguments, capture_output=True, text=True, check=False, **more)


class Save:
    """One kind of file in a folder of its own."""

    def __init__(self, kind):
        self.kind, self.folder = kind, tempfile.mkdtemp(prefix="sinter-crash-")
        self.path = os.path.join(self.folder, "file")

    def close(self):
        shutil.rmtree(self.folder)

    def save(self, version, *prefix, **more):
        return run(*prefix, SAVER, "save", self.kind, self.path, str(version), **more)

    def reset(self):
        for name in os.listdir(self.folder):
            os.remove(os.path.join(self.folder, name))
        shutil.copy(self.old, self.path)

    def keep_old(self):
        done = self.save(OLD)
        assert done.returncode == 0, done.stderr
        handle, self.old = tempfile.mkstemp(prefix="sinter-crash-old-")
        os.close(handle)
        shutil.copy(self.path, self.old)
        with open(self.path, "rb") as file:
            self.old_bytes = file.read()
        assert self.save(NEW).returncode == 0
        with open(self.path, "rb") as file:
            self.new_bytes = file.read()
        assert self.old_bytes != self.new_bytes
        # Whole files of both versions are what the program itself says they are.
        assert run(SAVER, "which", self.kind, self.path).stdout == f"{NEW}\n"
        self.reset()
        assert run(SAVER, "which", self.kind, self.path).stdout == f"{OLD}\n"

    def contents(self):
        with open(self.path, "rb") as file:
            data = file.read()
        return {self.old_bytes: OLD, self.new_bytes: NEW}.get(data)

    def left(self):
        return sorted(set(os.listdir(self.folder)) - {"file"})

    def calls(self):
        """[(name, which of its calls in the whole run)] of the save, in order."""
        log = os.path.join(self.folder, "log")
        run("strace", "-f", "-o", log, SAVER, "save", self.kind, self.path, str(NEW))
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")
        seen, found, begun = collections.Counter(), [], False
        for line in lines:
            match = re.match(r"\d+\s+(\w+)\(", line)
            if not match:
                continue
            seen[match.group(1)] += 1
            begun = begun or BEGIN in line
            if begun and BEGIN not in line:
                found.append((match.group(1), seen[match.group(1)]))
        return found


class Crashes(unittest.TestCase):
    def each_kind(self):
        for kind in KINDS:
            save = Save(kind)
            try:
                save.keep_old()
                yield save
            finally:
                save.close()

    def test_killed_at_any_system_call_the_file_is_old_or_new(self):
        for save in self.each_kind():
            calls = [call for call in save.calls() if call[0] not in MEMORY]
            self.assertGreater(len(calls), 10)
            outcomes = collections.Counter()
            for name, count in calls:
                save.reset()
                done = save.save(NEW, "strace", "-f", "-qq", "-o", "/dev/null",
                                 "-e", f"inject={name}:signal=KILL:when={count}")
                where = f"{save.kind}: killed at {name} {count}"
                self.assertNotEqual(0, done.returncode, where)
                found = save.contents()
                self.assertIn(found, (OLD, NEW), where)
                outcomes[found] += 1
                # What is left is one file that is known as temporary, and the next save removes it.
                self.assertLessEqual(len(save.left()), 1, where)
                self.assertTrue(all("sinter-tmp" in name for name in save.left()), where)
                outcomes["left"] += len(save.left())
                self.assertEqual(0, save.save(NEW).returncode, where)
                self.assertEqual([], save.left(), where)
                self.assertEqual(NEW, save.contents(), where)
            print(f"{save.kind}: killed at {len(calls)} system calls, {outcomes[OLD]} times the old "
                  f"file, {outcomes[NEW]} times the new one, {outcomes['left']} temporary files")
            # Both happen, or the kills were not where the save is.
            self.assertTrue(outcomes[OLD] and outcomes[NEW] and outcomes["left"])

    def test_a_failing_system_call_leaves_the_old_file(self):
        for save in self.each_kind():
            failed, tried = 0, 0
            for name, count in save.calls():
                for error in ERRORS.get(name, []):
                    save.reset()
                    done = save.save(NEW, "strace", "-f", "-qq", "-o", "/dev/null",
                                     "-e", f"inject={name}:error={error}:when={count}")
                    where = f"{save.kind}: {name} {count} is {error}: {done.stderr}"
                    tried += 1
                    found = save.contents()
                    self.assertEqual([], save.left(), where)
                    if done.returncode == 0:
                        # A call that the save can do without, such as looking for stale files.
                        self.assertEqual(NEW, found, where)
                        continue
                    failed += 1
                    self.assertEqual(1, done.returncode, where)
                    self.assertIn(f"error: cannot write {save.path}", done.stderr)
                    self.assertIn("= help: ", done.stderr)
                    after = "after the new file took the place" in done.stderr
                    self.assertEqual(NEW if after else OLD, found, where)
            print(f"{save.kind}: {tried} failing system calls, {failed} failed saves")
            self.assertGreater(failed, 10)

    def test_a_write_that_takes_nothing_is_an_error(self):
        for save in self.each_kind():
            first = next(count for name, count in save.calls() if name == "write")
            save.reset()
            done = save.save(NEW, "strace", "-f", "-qq", "-o", "/dev/null",
                             "-e", f"inject=write:retval=0:when={first}+")
            self.assertEqual(1, done.returncode, done.stderr)
            self.assertEqual(OLD, save.contents())
            self.assertEqual([], save.left())

    def test_short_writes_make_a_whole_file(self):
        for save in self.each_kind():
            done = save.save(NEW, env=dict(os.environ, LD_PRELOAD=SHORT_WRITE))
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertEqual(NEW, save.contents())
            # The library was there: without it there are a few writes.
            log = os.path.join(save.folder, "log")
            save.save(NEW, "strace", "-f", "-o", log, "-E", f"LD_PRELOAD={SHORT_WRITE}")
            with open(log, encoding="utf-8", errors="replace") as file:
                self.assertGreater(file.read().count(" write("), 50)

    def test_a_file_above_the_limit_of_the_process_leaves_the_old_one(self):
        for save in self.each_kind():
            # A signal unless ignored, which a child inherits; then EFBIG after a short write.
            done = run("bash", "-c", 'trap "" XFSZ; ulimit -f 1; exec "$@"', "bash", SAVER, "save",
                       save.kind, save.path, str(NEW))
            self.assertEqual(1, done.returncode, done.stderr)
            self.assertIn("File too large", done.stderr)
            self.assertEqual(OLD, save.contents())
            self.assertEqual([], save.left())


def may_trace():
    if shutil.which("strace") is None:
        return "there is no strace; tools/setup.sh installs it"
    done = run("strace", "-o", "/dev/null", "true")
    return None if done.returncode == 0 else "strace may not trace here: " + done.stderr.strip()


if __name__ == "__main__":
    reason = may_trace()
    if reason:
        print("skipped:", reason)
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
