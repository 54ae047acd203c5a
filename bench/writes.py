"""What a write through the Store costs, against the same insert by hand in a transaction of its own.

python -m bench.writes
"""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from sqlmodel import Session

from bench import report
from bench.processes import OURS, pin
from store import events, migrations
from store.opening import open_store
from store.store import Store
from store.tables import InboundEvent

ROUNDS = 3
ALONE, TOGETHER = 150, 1200
AT_ONCE = 64
NUMBERS = count(1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BODY = bytes(400)
BY_HAND = (
    "INSERT INTO event (channel_id, event_id, chat_key, sealed_body, state, attempts, error, received_at) "
    "VALUES (1, ?, '', ?, 'new', 0, '', '2026-01-01')"
)

Measured = Callable[[Store], Awaitable[None]]


def core(connection: Connection) -> None:
    connection.execute(events.ACCEPT["sqlite"], row())


def orm(session: Session) -> None:
    session.add(InboundEvent(**row()))
    session.flush()


def row() -> dict[str, Any]:
    return events.row(1, str(next(NUMBERS)), "", BODY, now=NOW)


WAYS: dict[str, Measured] = {
    "write_core": lambda store: store.write_core(core),
    "write (ORM session)": lambda store: store.write(orm),
    "append, one row": lambda store: store.append(events.ACCEPT["sqlite"], [row()]),
}


def main() -> None:
    report.title("Store: one row, answered after its commit (SQLite, synchronous=FULL)")
    pin(OURS)
    runs: dict[str, list[tuple[float, float]]] = {}
    for _ in range(ROUNDS):
        runs.setdefault("by hand, a transaction each", []).append((_by_hand(), 1.0))
        for way, measured in WAYS.items():
            for callers, rows in ((1, ALONE), (AT_ONCE, TOGETHER)):
                who = f"{way}, {callers} caller{'s' if callers > 1 else ''}"
                runs.setdefault(who, []).append(asyncio.run(_one(measured, rows, callers)))
    hand = [took for took, _ in next(iter(runs.values()))]
    report.table(
        ("way", "time against by hand", "µs a row", "rows a commit"),
        [
            (
                way,
                report.ratio([took for took, _ in found], hand),
                report.middle([took for took, _ in found]),
                report.middle([commits for _, commits in found], 1),
            )
            for way, found in runs.items()
        ],
    )


def _by_hand() -> float:
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as folder:
        file = _made(Path(folder))
        connection = sqlite3.connect(file, isolation_level=None)
        connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON")
        began = time.perf_counter()
        for _ in range(ALONE):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(BY_HAND, (str(next(NUMBERS)), BODY))
            connection.execute("COMMIT")
        took = time.perf_counter() - began
        connection.close()
        return took / ALONE * 1e6


async def _one(measured: Measured, rows: int, callers: int) -> tuple[float, float]:
    """µs of wall time a row, and rows a commit."""
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as folder:
        store = open_store(f"sqlite:///{_made(Path(folder))}", owner=True)
        try:
            for _ in range(20):  # statements are compiled once
                await measured(store)
            left, commits, began = rows, store.commits, time.perf_counter()

            async def caller() -> None:
                nonlocal left
                while left > 0:
                    left -= 1
                    await measured(store)

            await asyncio.gather(*[caller() for _ in range(callers)])
            return (time.perf_counter() - began) / rows * 1e6, rows / (store.commits - commits)
        finally:
            await store.aclose()


def _made(folder: Path) -> Path:
    file = folder / "loa.db"
    file.write_bytes(_template())
    return file


@cache
def _template() -> bytes:
    """An empty database with one channel."""
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as folder:
        file = Path(folder) / "loa.db"
        migrations.upgrade(f"sqlite:///{file}")
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute(
            "INSERT INTO channel (id, adapter, name, identity, handle, tells_read, broken, lease_owner, lease_epoch, "
            "created_at) VALUES (1, 'x', 'main', '', '', 0, '', '', 0, '2026-01-01')"
        )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return file.read_bytes()


if __name__ == "__main__":
    report.machine()
    main()
