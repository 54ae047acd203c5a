"""Live figures over a real connection."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
import uvicorn
from sqlmodel import select

from bot import reach
from bot.permissions import actor_of
from store import sessions
from store.tables import Household, Notice, Unit, WebSession
from tests.api.conftest import HERE, found


@contextlib.asynccontextmanager
async def served(app) -> AsyncIterator[str]:
    """The app behind a real server. Its lifespan is entered already."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


async def tick(house, code: str, number: int) -> None:
    """A household is recorded: the figures change."""
    head_id = await house.person_id("truong1")

    def work(session):
        notice = session.exec(select(Notice).where(Notice.code == code)).one()
        village = session.exec(select(Unit).where(Unit.code == "ban-1")).one()
        household = session.exec(select(Household).where(Household.number == number)).one()
        reach.tick(session, actor_of(session, head_id), notice, village, [household.id], now=datetime.now(UTC))

    await house.write(work)


async def said(lines: AsyncIterator[str], wanted: str) -> str:
    """The next line that begins so."""
    async with asyncio.timeout(10):
        async for line in lines:
            if line.startswith(wanted):
                return line
    raise AssertionError(f"the stream ended before {wanted!r}")


async def test_a_page_learns_that_its_figures_changed(house):
    code = (await house.notice())["code"]
    browser = await house.signed_in("canbo")
    page = (await browser.get(f"/console/notices/{code}")).text
    address = found(r'data-live="([^"]+)"', page)
    async with served(house.app) as base, httpx.AsyncClient(base_url=base, cookies=dict(browser.cookies)) as client:
        async with client.stream("GET", address, timeout=15) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert stream.headers["x-accel-buffering"] == "no"
            lines = stream.aiter_lines()
            assert await said(lines, "retry:") == "retry: 5000"
            await tick(house, code, 1)
            first = await said(lines, "data:")
            await tick(house, code, 2)
            assert await said(lines, "data:") != first
        assert "2/4 hộ" in (await client.get(f"/console/notices/{code}/table")).text
    async with asyncio.timeout(10):  # who left is noticed, and nobody looks any more
        while house.app.state.live.is_watched:  # noqa: ASYNC110 - there is nothing that could tell us
            await asyncio.sleep(0.01)


async def test_a_page_that_missed_a_change_is_told_at_once(house):
    code = (await house.notice())["code"]
    browser = await house.signed_in("canbo")
    async with served(house.app) as base, httpx.AsyncClient(base_url=base, cookies=dict(browser.cookies)) as client:
        address = f"/console/notices/{code}/events?mark=old"
        async with (
            client.stream("GET", address, timeout=15) as first,
            client.stream("GET", address, timeout=15) as second,
        ):
            assert (await said(first.aiter_lines(), "data:")) == (await said(second.aiter_lines(), "data:"))


async def test_somebody_whose_sign_in_was_ended_watches_no_longer(house):
    house.app.state.live.ask_again = 0.0
    code = (await house.notice())["code"]
    browser = await house.signed_in("canbo")
    async with (
        served(house.app) as base,
        httpx.AsyncClient(base_url=base, cookies=dict(browser.cookies)) as client,
        client.stream("GET", f"/console/notices/{code}/events?mark=old", timeout=15) as stream,
    ):
        lines = stream.aiter_lines()
        await said(lines, "data:")
        session = await house.read(lambda s: s.exec(select(WebSession)).one())
        await house.write(sessions.end_sessions, session.person_id)
        await tick(house, code, 1)
        with pytest.raises(AssertionError, match="ended"):
            await said(lines, "data:")


async def test_a_stranger_is_sent_away_without_a_page(house):
    code = (await house.notice())["code"]
    stream = {"accept": "text/event-stream"}
    browser = house.browser(base=HERE)
    assert (await browser.get(f"/console/notices/{code}/events", headers=stream)).status_code == 204
    foreign = await house.signed_in("xakhac")
    assert (await foreign.get(f"/console/notices/{code}/events", headers=stream)).status_code == 404
