"""Other processes of a measurement: servers, clients, and where they run."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
OURS, THEIRS = 0, 1
"""CPUs: what is measured on one, what it talks to on the other."""
STARTS_WITHIN = 60.0
ENDS_WITHIN = 120.0
OWN = ("LOA_", "TELEGRAM_", "ADAPTERS")


def pin(cpu: int) -> None:
    """Keep this process, and what it starts from now on, on one CPU where there are several."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {cpu})


@contextmanager
def running(
    arguments: Sequence[str], *, cpu: int | None = None, env: Mapping[str, str] | None = None, folder: Path = ROOT
) -> Iterator[subprocess.Popen[str]]:
    """A Python process, told to stop at the end."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder,
        env=environment(env or {}),
        preexec_fn=None if cpu is None else lambda: pin(cpu),
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout:
            process.stdout.close()


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """This one without settings of the user's own, which a measurement must not meet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def answer(arguments: Sequence[str], *, cpu: int = OURS) -> Any:
    """What a process prints last, as JSON."""
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN,
        cwd=ROOT,
        env=environment({}),
        preexec_fn=lambda: pin(cpu),
    )
    assert done.returncode == 0, f"{arguments} failed: {done.stderr[-2000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the process ended before it said anything"
    return line.strip()


def until_ready(url: str, process: subprocess.Popen[str]) -> None:
    """Wait for a 200."""
    deadline = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as found:  # noqa: S310 - an address of this machine
                if found.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, "the service ended"
            assert time.monotonic() < deadline, "the service did not start"
        time.sleep(0.005)


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> float:
    """Resident MiB."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
