"""Where the tests get a program of the system: on PATH, else installed by apt where root allows it.

`python -m tests.debian` installs all that the tests need and prints the paths.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from filelock import FileLock

PACKAGES: Mapping[str, tuple[str, ...]] = {"tesseract": ("tesseract-ocr", "tesseract-ocr-vie")}
"""What brings a program and what it needs for the tests."""
PROBES: Mapping[str, tuple[tuple[str, ...], str]] = {"tesseract": (("--list-langs",), "vie")}
"""Arguments that a program answers when it is complete, and a word that is then in its answer."""
ANSWER_WITHIN = 30
FETCH_WITHIN = 600


class NoProgram(Exception):
    """The program cannot be had; the text says what a person can do."""


@cache
def program(name: str) -> str:
    """Path of the program, complete and ready. Raises NoProgram."""
    with FileLock(Path(tempfile.gettempdir()) / f"loa-{name}.lock"):  # two test workers install once
        if path := _ready(name):
            return path
        if install(*PACKAGES[name]) and (path := _ready(name)):
            return path
    packages = " ".join(PACKAGES[name])
    raise NoProgram(
        f"The tests need {name}. Install it as root (Debian, Ubuntu: apt-get install {packages}; "
        f"other systems have packages of much the same names)."
    )


def _ready(name: str) -> str:
    """Its path, '' when it is missing or lacks a part."""
    arguments, word = PROBES[name]
    path = shutil.which(name)
    return path if path and word in run(path, *arguments, within=ANSWER_WITHIN).split() else ""


def install(*packages: str) -> bool:
    """Install Debian's packages. False: we are not root, or there is no apt."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    run("apt-get", "update", "--quiet", within=FETCH_WITHIN)
    run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages, within=FETCH_WITHIN)
    return True


def run(*command: str, within: float) -> str:
    """What `command` printed, '' when it failed."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=within,
            text=True,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    try:
        for wanted in PACKAGES:
            sys.stdout.write(program(wanted) + "\n")
    except NoProgram as error:
        sys.exit(str(error))
