"""Installs a hash-locked list of packages with pip and shows how far it is.

Knows pip's output and nothing of the packages; runs before anything is installed, on the standard library.
"""

import re
import subprocess
import sys
from collections import deque
from pathlib import Path

PINNED = re.compile(r"^[A-Za-z0-9._-]+==", re.MULTILINE)
SEEN = re.compile(r"^(?:Collecting|Requirement already satisfied:) ")
KEPT_LINES = 25


def command(lock: Path) -> list[str]:
    return [sys.executable, "-m", "pip", "install", "--require-hashes", "--no-deps", "-r", str(lock)]


def show(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def follow(lines: subprocess.Popen[str], total: int) -> deque[str]:
    """Reads pip's output to its end, shows a counter, and returns the last lines."""
    last: deque[str] = deque(maxlen=KEPT_LINES)
    seen = 0
    for line in lines.stdout or ():
        last.append(line)
        if SEEN.match(line):
            seen += 1
            show(f"  fetching {seen} of {total} packages")
        elif line.startswith("Installing collected packages"):
            show(f"  unpacking {total} packages")
    show("")
    return last


def main(lock: Path) -> int:
    total = len(PINNED.findall(lock.read_text()))
    sys.stderr.write(f"Installing what {lock} lists ({total} packages; a minute or two, once)\n")
    with subprocess.Popen(command(lock), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        last = follow(pip, total)
    if pip.returncode:
        sys.stderr.writelines(last)
        sys.stderr.write("pip could not install the packages. Is a package index reachable from here?\n")
    return pip.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
