"""What a measurement prints: where it ran, and a table."""

import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

PACKAGES = ("python-telegram-bot", "aiohttp", "fastapi", "starlette", "uvicorn", "SQLAlchemy", "sqlmodel")


def machine() -> None:
    """Where and when: the first lines of every run."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {os.cpu_count()} CPUs, {_model()} · {platform.platform(terse=True)}"
    )
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}")


def title(words: str) -> None:
    print(f"\n## {words}  (load {load()})\n", flush=True)


def load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """As Markdown, so that it can be copied into docs/performance.md."""
    print("| " + " | ".join(header) + " |")
    print("|---" * len(header) + "|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def middle(values: Iterable[float], digits: int = 0) -> str:
    return f"{median(values):,.{digits}f}"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Median of the ratios inside each round: another program's burst then spoils both sides of it."""
    return f"x{median(a / b for a, b in zip(ours, theirs, strict=True)):.2f}"


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
