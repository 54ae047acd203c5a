"""Log lines: one each, readable by people and programs, and no secret even in somebody else's exception."""

import logging
import sys

import pytest

from cli.logs import OneLine


def line(message, *arguments, error=None, **extra):
    record = logging.makeLogRecord(
        {"name": "scheduler.sender", "levelno": 20, "levelname": "INFO", "msg": message, "args": arguments, **extra}
    )
    if error is not None:
        try:
            raise error
        except type(error):
            record.exc_info = sys.exc_info()
    return OneLine().format(record)


def test_a_line_names_time_level_place_event_and_details():
    said = line("notice published", notice=7, villages=12)
    at, rest = said.split(" ", 1)
    assert at.endswith("+00:00")
    assert rest == 'info scheduler.sender event="notice published" notice=7 villages=12'


def test_a_traceback_stays_on_its_line():
    said = line("a sweep failed", error=ValueError("one\ntwo"))
    assert "\n" not in said
    assert "ValueError" in said


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param("1234567:AAF0_abcdefghijklmnopqrstuvwxyz-1234", id="a bot's token"),
        pytest.param("postgresql://loa:pass-word@db/loa", id="a password in an address"),
        pytest.param("Bearer loa_abcdef", id="a bearer token"),
    ],
)
def test_a_secret_in_a_foreign_exception_is_blotted_out(secret):
    said = line("could not connect", error=OSError(f"GET https://host/bot{secret}/getMe"))
    assert "***" in said
    assert secret.removeprefix("Bearer ") not in said
    assert "pass-word" not in said
