"""Runs an example and compares what it prints with a text.

    check_output.py PROGRAM EXPECTED

In the text, a line "..." stands for any lines, and a line that begins with "re: " is a regular
expression for one whole line.
"""

import re
import subprocess
import sys


def fits(want, got):
    return re.fullmatch(want[4:], got) if want.startswith("re: ") else want == got


def difference(want, got):
    """What is wrong with the lines `got`, or nothing."""
    at = 0
    skipping = False
    for number, line in enumerate(want, 1):
        if line == "...":
            skipping = True
            continue
        if skipping:
            while at < len(got) and not fits(line, got[at]):
                at += 1
            skipping = False
        if at == len(got) or not fits(line, got[at]):
            found = f"'{got[at]}'" if at < len(got) else "the end"
            return f"line {number} is '{line}' but the program prints {found}"
        at += 1
    if at < len(got) and not skipping:
        return f"the program prints more: '{got[at]}'"
    return None


def main():
    program, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        want = file.read().splitlines()
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    wrong = difference(want, done.stdout.splitlines())
    if done.returncode != 0:
        wrong = f"{program} exits with {done.returncode}: {done.stderr}"
    if wrong:
        print(done.stdout)
        sys.exit(f"{path}: {wrong}")


if __name__ == "__main__":
    main()
