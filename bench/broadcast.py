"""How fast a notice goes out with every limit off: our durable drain against the library's own client in a plain loop.

    python -m bench.broadcast

The peer keeps nothing: a crash loses its place. Ours writes each row down before and after the call, and counts reach.
"""

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench import report
from bench.broadcast_client import MODES
from bench.processes import OURS, THEIRS, answer, first_line, running

ROUNDS = 3
CASES = ((0, 1, 1200, 400), (0, 10, 1600, 400), (80, 1, 320, 240), (80, 10, 1600, 480))
"""Delay of an answer in ms, bots, messages of the fast clients and of the slow one."""
SLOW = "ptb"
WORDS = {
    "ptb": "python-telegram-bot, stock, plain loop",
    "ptb+aiohttp": "the same over our transport",
    "aiogram": "aiogram, plain loop",
    "ours": "**ours, durable**",
    "ours+count": "ours, members counted beside each send",
}


def main() -> None:
    report.title("Broadcast, limits off, 16 in flight a bot")
    for delay, bots, many, few in CASES:
        modes = [mode for mode in MODES if _is_measured(mode, delay, bots)]
        runs: dict[str, list[dict[str, Any]]] = {mode: [] for mode in modes}
        with running(["-m", "bench.stub", "--latency-ms", str(delay)], cpu=THEIRS) as stub:
            api = f"http://127.0.0.1:{first_line(stub)}/bot"
            for _ in range(ROUNDS):
                for mode in modes:
                    runs[mode].append(_one(mode, api, bots, few if mode == SLOW else many))
        _print(delay, bots, runs)


def _one(mode: str, api: str, bots: int, messages: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as folder:
        arguments = ["-m", "bench.broadcast_client", mode, api, str(bots), str(messages), str(Path(folder))]
        found: dict[str, Any] = answer(arguments, cpu=OURS)
        return found


def _print(delay: int, bots: int, runs: dict[str, list[dict[str, Any]]]) -> None:
    ideal = f", ideal {bots * 16_000 // delay:,}/s" if delay else ""
    print(f"{bots} bot{'s' if bots > 1 else ''}, answers after {delay} ms{ideal} (load {report.load()})\n")

    def column(mode: str, name: str) -> list[float]:
        return [run[name] for run in runs[mode]]

    report.table(
        (
            "client",
            "rate against stock",
            "CPU a message against stock",
            "messages/s",
            "CPU µs",
            "messages a commit",
            "MiB",
        ),
        [
            (
                WORDS[mode],
                report.ratio(column(mode, "rate"), column(SLOW, "rate")),
                report.ratio(column(mode, "cpu_us"), column(SLOW, "cpu_us")),
                report.middle(column(mode, "rate")),
                report.middle(column(mode, "cpu_us")),
                report.middle(column(mode, "per_commit"), 1) if runs[mode][0]["per_commit"] else "–",
                report.middle(column(mode, "mib")),
            )
            for mode in runs
        ],
    )


def _is_measured(mode: str, delay: int, bots: int) -> bool:
    match mode:
        case "aiogram":
            return find_spec("aiogram") is not None
        case "ours+count":
            return (delay, bots) == (0, 1)
        case _:
            return True


if __name__ == "__main__":
    report.machine()
    main()
