"""How close to the messenger's limit a broadcast goes: 30 messages in any second, enforced to the letter.

    python -m bench.legal

The stub is that of the tests: it refuses the 31st message of any sliding second with a 429.
"""

import asyncio
import json
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from bench import house, report
from bench.processes import OURS, THEIRS, first_line, pin, running
from scheduler.runtime import open_runtime

PER_SECOND = 30
GROUPS = (200, 600)
LATENCY_MS = 80


def main() -> None:
    report.title(f"Legal rate: one bot at {PER_SECOND}/s, answers after {LATENCY_MS} ms")
    pin(OURS)
    rows = [_row(groups, asyncio.run(_one(groups))) for groups in GROUPS]
    report.table(
        ("groups", "seconds", "limit allows", "over the limit's time", "429", "most in any second", "messages"), rows
    )


async def _one(groups: int) -> dict[str, Any]:
    arguments = ["-m", "tests.servers.telegram", "--any-token", "--invents-chats", "--latency-ms", str(LATENCY_MS)]
    with running(arguments, cpu=THEIRS) as stub, tempfile.TemporaryDirectory(prefix="loa-bench-") as folder:
        told = json.loads(first_line(stub))
        found = house.furnish(Path(folder), api=told["base_url"], groups=groups)
        async with open_runtime(found.settings) as runtime:
            await house.sent(runtime, await house.publish(runtime, found))
        return await asyncio.to_thread(stats_of, told["url"])


def stats_of(stub: str) -> dict[str, Any]:
    """What the stub at this address saw of the first bot."""
    request = urllib.request.Request(f"{stub}/_stub/stats", b'{"bot": 1}', {"Content-Type": "application/json"})  # noqa: S310 - this machine
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - the same
        found: dict[str, Any] = json.load(answer)
        return found


def _row(groups: int, stats: dict[str, Any]) -> tuple[object, ...]:
    took = stats["last_send_at"] - stats["first_send_at"]
    allowed = (groups - 1) // PER_SECOND
    return (
        groups,
        f"{took:.2f}",
        allowed,
        f"x{took / allowed:.3f}",
        stats["throttled_by_client"],
        stats["max_in_any_second"],
        stats["sent"],
    )


if __name__ == "__main__":
    report.machine()
    main()
