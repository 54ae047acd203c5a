"""The command as people run it: in a folder of its own, with an environment of its own."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

import pytest
from typer.testing import CliRunner

from cli.main import app

ROOT = Path(__file__).parents[2]
KEY = "a-key-of-the-tests-that-is-long-enough"
WITHIN = 60.0
OURS = ("LOA_", "TELEGRAM_", "ZALO_", "ADAPTERS", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


@dataclass
class Loa:
    """`loa ARGUMENTS` in the folder; `run` in this process, `start` as a process of its own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments, input=None):
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)

    def does(self, *arguments):
        """Its output; fails the test when the command did."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refuses(self, *arguments):
        """Its words on standard error; fails the test when the command did what was asked, or broke."""
        result = self.run(*arguments)
        assert result.exit_code == 1, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.stderr

    def process(self, *arguments):
        command = [sys.executable, "-m", "cli", *map(str, arguments)]
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=pipe, stderr=pipe, text=True, encoding="utf-8"
        )

    @contextmanager
    def serving(self, *arguments, until) -> "Iterator[Service]":
        """The process, once it has printed `until`; told to stop in the end."""
        process = self.process(*arguments)
        service = Service(process)
        try:
            service.wait_for(until)
            yield service
        finally:
            service.stop()

    def rows(self, query, file="data/loa.db"):
        with closing(sqlite3.connect(self.folder / file)) as connection, connection:
            return connection.execute(query).fetchall()

    def write(self, name, text, encoding="utf-8"):
        (self.folder / name).write_text(text, encoding)
        return self.folder / name


class Service:
    """A process that keeps running, with what it says."""

    def __init__(self, process):
        self.process = process
        self.said: list[str] = []
        self.logged: list[str] = []
        self._lines: Queue[str] = Queue()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, kept), daemon=True)
            for stream, kept in ((process.stdout, self.said), (process.stderr, self.logged))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, kept):
        for line in stream:
            kept.append(line.rstrip("\n"))
            self._lines.put(line)

    def wait_for(self, words):
        deadline = time.monotonic() + WITHIN
        while not any(words in line for line in self.said):
            try:
                self._lines.get(timeout=0.2)
            except Empty:
                assert self.process.poll() is None, self.logged
                assert time.monotonic() < deadline, (self.said, self.logged)

    def stop(self):
        """Ask it to stop; its exit code."""
        self.process.terminate()
        code = self.process.wait(30)
        for reader in self._readers:
            reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


@pytest.fixture
def loa(tmp_path, monkeypatch):
    """A machine where nothing is set up but a key."""
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LOA_SECRET_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    return Loa(tmp_path)


@pytest.fixture
def commune(loa):
    """A migrated database with a commune of two villages and their registers."""
    loa.does("migrate")
    villages = loa.write("villages.csv", "Tên bản;Mã\nbản Nà Pheo;na-pheo\nbản Huổi Mây;huoi-may\n", "utf-8-sig")
    loa.does(
        "import", "villages", villages, "--commune", "xa1", "--commune-name", "xã Một", "--province-name", "tỉnh Hai"
    )
    households = loa.write("households.csv", "Thôn,Số hộ,Tên gọi\nna-pheo,1,Nhà đầu bản\nna-pheo,2,\nhuoi-may,1,\n")
    loa.does("import", "households", households)
    return loa
