"""How long `loa serve` takes from nothing to its first ready answer, against importing two of its libraries.

python -m bench.start
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import house, report
from bench.processes import OURS, environment, first_line, memory_of, pin, running, until_ready

ROUNDS = 3
PEER = "import fastapi, sqlmodel"


def main() -> None:
    report.title("Cold start")
    pin(OURS)
    peer, ours, memory = [], [], []
    for _ in range(ROUNDS):
        peer.append(_import())
        seconds, mib = _serve()
        ours.append(seconds)
        memory.append(mib)
    report.table(
        ("what", "against the peer", "seconds", "MiB when ready"),
        [
            (f"`python -c '{PEER}'`", "x1.00", report.middle(peer, 2), "–"),
            (
                "**`loa serve` to the first /readyz**",
                report.ratio(ours, peer),
                report.middle(ours, 2),
                report.middle(memory),
            ),
        ],
    )


def _import() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", PEER], check=True, env=environment({}))
    return time.perf_counter() - began


def _serve() -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as name:
        folder = Path(name)
        house.furnish(folder, api="http://127.0.0.1:9/bot", groups=8, bots=1)
        began = time.perf_counter()
        with running(["-m", "cli", "serve", "--port", "0"], env=house.environment(folder), folder=folder) as process:
            until_ready(first_line(process).rpartition(" ")[2] + "/readyz", process)
            return time.perf_counter() - began, memory_of(process.pid)


if __name__ == "__main__":
    report.machine()
    main()
