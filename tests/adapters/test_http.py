"""What HTTP itself says about a send, for every adapter that speaks it."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from adapters.contract import AdapterBroken, NotSent, OutcomeUnknown, Rejected, Throttled
from adapters.http import failure_of, redact, tls

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(httpx.ConnectError("https://x/secret"), NotSent, id="no connection"),
        pytest.param(httpx.ConnectTimeout(""), NotSent, id="no connection in time"),
        pytest.param(httpx.PoolTimeout(""), NotSent, id="no connection free"),
        pytest.param(httpx.ProxyError(""), NotSent, id="no way through the proxy"),
        pytest.param(httpx.UnsupportedProtocol(""), NotSent, id="no such protocol"),
        pytest.param(httpx.ReadTimeout(""), OutcomeUnknown, id="no answer"),
        pytest.param(httpx.WriteTimeout(""), OutcomeUnknown, id="perhaps not all of it left"),
        pytest.param(httpx.ReadError(""), OutcomeUnknown, id="cut while reading"),
        pytest.param(httpx.RemoteProtocolError(""), OutcomeUnknown, id="hung up"),
        pytest.param(httpx.DecodingError(""), OutcomeUnknown, id="an answer that nobody can read"),
        pytest.param(httpx.Response(200), OutcomeUnknown, id="a success that the caller could not read"),
        pytest.param(httpx.Response(302), NotSent, id="sent elsewhere"),
        pytest.param(httpx.Response(400), Rejected, id="not understood"),
        pytest.param(httpx.Response(401), AdapterBroken, id="wrong token"),
        pytest.param(httpx.Response(403), Rejected, id="refused: why is for the vendor to say"),
        pytest.param(httpx.Response(408), OutcomeUnknown, id="the server waited for us"),
        pytest.param(httpx.Response(413), Rejected, id="too large"),
        pytest.param(httpx.Response(429), Throttled, id="too fast"),
        pytest.param(httpx.Response(500), OutcomeUnknown, id="server error"),
        pytest.param(httpx.Response(503, headers={"retry-after": "5"}), OutcomeUnknown, id="unavailable"),
    ],
)
def test_an_outcome_says_what_to_do_next(outcome, expected):
    failure = failure_of(outcome)
    assert type(failure) is expected
    assert "secret" not in failure.reason


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", timedelta(seconds=7)),
        ("Sat, 21 Nov 2026 08:00:30 GMT", timedelta(seconds=30)),
        ("Sat, 21 Nov 2026 07:00:00 GMT", timedelta(0)),
        ("99999999999999999999", timedelta(days=1)),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_how_long_to_wait_is_read_in_both_of_its_forms(header, wait):
    failure = failure_of(httpx.Response(429, headers={"retry-after": header}), now=NOW)
    assert isinstance(failure, Throttled)
    assert failure.retry_after == wait


def test_a_secret_is_taken_out_in_clear_and_as_part_of_an_address():
    text = "https://x/bot12:ab/send?t=12%3Aab and pass"
    assert redact(text, "12:ab", "pass", "") == "https://x/bot***/send?t=*** and ***"


def test_all_clients_share_one_tls_context():
    assert tls() is tls()
    assert tls().check_hostname
