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
        if os.geteuid() == 0 and shutil.which("apt-get"):
            _run("apt-get", "update", "--quiet", within=FETCH_WITHIN)
            install = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *PACKAGES[name])
            _run(*install, within=FETCH_WITHIN)
            if path := _ready(name):
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
    return path if path and word in _run(path, *arguments, within=ANSWER_WITHIN).split() else ""


def _run(*command: str, within: float) -> str:
    """What `command` said, '' when it failed."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=within,
            text=True,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


if __name__ == "__main__":
    try:
        for wanted in PACKAGES:
            sys.stdout.write(program(wanted) + "\n")
    except NoProgram as error:
        sys.exit(str(error))
