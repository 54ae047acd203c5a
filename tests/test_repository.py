"""The promises of the packaging: one locked set of versions, the same words on every machine."""

import os
import socket
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import regex
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PIN = regex.compile(r"[\w.-]+==[\w.!+]+")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def locked() -> dict[str, str]:
    """Name → version of constraints.txt; a line of any other kind is refused, so no address or path of a file."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in pins if not PIN.fullmatch(line)] == []
    return {canonicalize_name(name): version for name, version in (pin.split("==") for pin in pins)}


def test_every_package_that_is_pulled_in_is_locked_at_the_version_in_use(locked):
    extras = PROJECT["project"]["optional-dependencies"]
    direct = PROJECT["project"]["dependencies"] + extras["postgres"] + extras["test"]
    in_use = {name: metadata.version(name) for name in _closure(map(Requirement, direct))}
    assert in_use.items() <= locked.items()


def _closure(wanted: Iterator[Requirement]) -> set[str]:
    """Names of `wanted` and of all that they need here, extras included."""
    seen: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(r.name), extra) for r in wanted for extra in ("", *r.extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for needed in map(Requirement, metadata.requires(name) or []):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(needed.name), more) for more in ("", *needed.extras)]
    return {name for name, _ in seen}


def test_checks_and_tests_have_the_same_words_everywhere():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    said = set(regex.findall(r"^make (\S+)$", script.read_text("utf-8"), regex.MULTILINE))
    targets = set(regex.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), regex.MULTILINE))
    assert {"check", "test"} <= said <= targets
    assert {"install", "run", "test", "check", "bench", "clean"} <= targets


def test_each_exception_from_a_style_rule_gives_its_reason():
    exceptions = regex.findall(r'^ +"([A-Z]+\d+)",(.*)$', (ROOT / "pyproject.toml").read_text("utf-8"), regex.MULTILINE)
    assert exceptions
    assert [code for code, rest in exceptions if not regex.match(r" +# \w", rest)] == []


def test_a_test_reaches_this_machine_and_no_other():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
    with socket.socket() as outward, pytest.raises(RuntimeError, match="this machine only"):
        outward.connect(("203.0.113.7", 9))
    with pytest.raises(RuntimeError, match="look up no name"):
        socket.getaddrinfo("village.example", 443)
