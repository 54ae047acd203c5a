"""The demo commune as a process of its own, for what is measured on its pages and for their pictures."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.processes import running, until_ready

LAST_LINE = "Ctrl+C"


@dataclass(frozen=True, slots=True)
class Demo:
    url: str
    password: str
    token: str
    """Of /api/v1."""

    def publish(self, body: str, **more: Any) -> str:
        """A notice to the villages; returns its code."""
        answer = httpx.post(
            f"{self.url}/api/v1/notices",
            json={"body": body, "villages": "all", **more},
            headers={"Authorization": f"Bearer {self.token}", "Idempotency-Key": body[:40].encode().hex()},
            timeout=30,
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["code"])


@contextmanager
def demo() -> Iterator[Demo]:
    """A fresh one, where nobody must approve."""
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as name:
        folder = Path(name)
        arguments = ["-m", "cli", "demo", "--port", "0", "--data", name, "--token"]
        with running(arguments, folder=folder, env={"LOA_APPROVAL": ""}) as process:
            said: list[str] = []
            assert process.stdout is not None
            while not said or LAST_LINE not in said[-1]:
                line = process.stdout.readline()
                assert line, "the demo ended before it was ready"
                said.append(line)
            kept = dict(line.split("=", 1) for line in (folder / ".env").read_text("utf-8").splitlines() if "=" in line)
            url = said[0].split(": ", 1)[1].split()[0]
            until_ready(f"{url}/readyz", process)
            token = next(line.split()[-1] for line in said if "/api/v1" in line)
            yield Demo(url, kept["DEMO_PASSWORD"], token)
