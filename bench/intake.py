"""How many webhook events a second are answered *after* their commit, over HTTP, by the service as a process.

    python -m bench.intake

The peer is the same route without a store: what is left when nothing is kept. `--no-worker`: intake alone; the other
line also handles every event (a text in private, which is answered) while more come in.
"""

import asyncio
import itertools
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import house, load, report
from bench.processes import OURS, THEIRS, cpu_of, first_line, pin, running, until_ready
from bench.words import HOOK

ROUNDS = 3
CONNECTIONS = 16
REQUESTS = 1000
WARM = 200
PATH = "/webhooks/telegram/b1"
HEADERS = {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": HOOK}
NUMBERS = itertools.count(1)
KINDS = {"floor": "the route without a store", "intake": "**ours, durable**", "all": "ours, durable, handling them too"}


def main() -> None:
    report.title(f"Webhook intake, {CONNECTIONS} connections")
    pin(THEIRS)
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind, found in runs.items():
            found.append(_one(kind))
    report.table(
        ("server", "rate against no store", "events/s", "CPU µs", "p50 ms", "p99 ms"),
        [
            (
                words,
                report.ratio([run["rate"] for run in runs[kind]], [run["rate"] for run in runs["floor"]]),
                *(report.middle([run[name] for run in runs[kind]]) for name in ("rate", "cpu_us")),
                *(report.middle([run[name] for run in runs[kind]], 1) for name in ("p50", "p99")),
            )
            for kind, words in KINDS.items()
        ],
    )


def _one(kind: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as folder, _server(kind, Path(folder)) as (url, pid):
        asyncio.run(load.run(url, lambda: _request(url), requests=WARM, connections=4))
        before = cpu_of(pid)
        found = asyncio.run(load.run(url, lambda: _request(url), requests=REQUESTS, connections=CONNECTIONS))
        cpu_us = (cpu_of(pid) - before) / REQUESTS * 1e6
        if kind != "floor":
            with sqlite3.connect(Path(folder) / "loa.db") as connection:
                (kept,) = connection.execute("SELECT count(*) FROM event").fetchone()
            assert kept == WARM + REQUESTS, f"{kept} events are kept"
        return {"rate": found.rate, "cpu_us": cpu_us, "p50": found.p50_ms, "p99": found.p99_ms}


@contextmanager
def _server(kind: str, folder: Path) -> Iterator[tuple[str, int]]:
    """Address of the webhook, and the process."""
    if kind == "floor":
        with running(["-m", "bench.floor"], cpu=OURS) as process:
            yield first_line(process) + PATH, process.pid
        return
    with running(["-m", "bench.stub"], cpu=THEIRS) as stub:
        house.furnish(folder, api=f"http://127.0.0.1:{first_line(stub)}/bot", groups=1)
        arguments = ["-m", "cli", "serve", "--port", "0", "--worker" if kind == "all" else "--no-worker"]
        with running(arguments, cpu=OURS, env=house.environment(folder), folder=folder) as process:
            url = first_line(process).rpartition(" ")[2]
            until_ready(f"{url}/readyz", process)
            yield url + PATH, process.pid


def _request(url: str) -> bytes:
    number = next(NUMBERS)
    person: dict[str, Any] = {"id": 5000 + number % 300, "is_bot": False, "first_name": "Lan", "language_code": "vi"}
    message = {
        "message_id": number,
        "from": person,
        "chat": {"id": person["id"], "type": "private", "first_name": "Lan"},
        "date": 1_790_000_000,
        "text": "Cho tôi hỏi làm lại căn cước công dân thì cần giấy tờ gì ạ, nộp ở đâu và mất bao lâu?",
    }
    body = json.dumps({"update_id": number, "message": message}, ensure_ascii=False).encode()
    return load.post(url, body, HEADERS)


if __name__ == "__main__":
    report.machine()
    main()
