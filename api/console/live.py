"""Live figures: one look at the counters a second and notice, however many watch. A page learns that they changed."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from time import monotonic
from types import TracebackType
from typing import Self

from sqlmodel import Session, select
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from api.auth import me, signed_in, whoever_is_signed_in
from api.errors import SignInNeeded
from api.reads import visible_notice
from api.state import runtime
from bot.permissions import Actor
from store.store import Store, StoreError
from store.tables import Notice, Reach

EVERY = 1.0
PING_EVERY = 20.0
LONGEST = 15 * 60.0
ASK_AGAIN = 60.0
"""How long somebody whose sign-in was ended may go on watching."""


class Watch:
    """The counters of one notice, looked at as long as anybody watches."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.watchers = 0
        self.changed = asyncio.Condition()

    async def other_than(self, mark: str) -> str:
        async with self.changed:
            await self.changed.wait_for(lambda: self.mark != mark)
            return self.mark


class Live:
    """All that is being watched. Open for as long as the app lives."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.ask_again = ASK_AGAIN
        self._watches: dict[int, Watch] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def is_watched(self) -> bool:
        return bool(self._watches)

    async def marks(self, notice_id: int, seen: str) -> AsyncIterator[str | None]:
        """A mark each time the figures differ from the mark before; None when it is time for a sign of life."""
        watch = self._watches.get(notice_id)
        if watch is None:
            watch = self._watches[notice_id] = Watch(seen)
            self._tasks[notice_id] = asyncio.create_task(self._look(notice_id, watch))
        watch.watchers += 1
        try:
            while True:
                try:
                    seen = await asyncio.wait_for(watch.other_than(seen), PING_EVERY)
                except TimeoutError:
                    yield None
                else:
                    yield seen
        finally:
            watch.watchers -= 1
            if not watch.watchers:
                del self._watches[notice_id]
                self._tasks.pop(notice_id).cancel()

    async def _look(self, notice_id: int, watch: Watch) -> None:
        while True:
            try:
                mark = await self._store.read(mark_of, notice_id)
            except StoreError:
                mark = watch.mark  # the next look may succeed; the page stays as it is
            if mark != watch.mark:
                async with watch.changed:
                    watch.mark = mark
                    watch.changed.notify_all()
            await asyncio.sleep(EVERY)


def mark_of(session: Session, notice_id: int) -> str:
    """Names the figures of a notice: other figures, another mark."""
    figures = session.connection().execute(
        select(Reach.__table__).where(Reach.notice_id == notice_id).order_by(Reach.unit_id)  # type: ignore[attr-defined, arg-type]
    )
    state = session.exec(select(Notice.state).where(Notice.id == notice_id)).first()
    return sha256(repr([state, *map(tuple, figures)]).encode()).hexdigest()[:12]


@signed_in
async def events(request: Request) -> Response:
    """GET /console/notices/{code}/events: says `change` whenever the figures differ from those of `?mark=`."""
    notice_id = await runtime(request).store.read(_notice_id, me(request), request.path_params["code"])
    return StreamingResponse(
        _stream(request, notice_id, request.query_params.get("mark", "")),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _stream(request: Request, notice_id: int, mark: str) -> AsyncIterator[str]:
    live: Live = request.app.state.live
    begun = asked = monotonic()
    yield "retry: 5000\n\n"
    marks = live.marks(notice_id, mark)
    try:
        async for new in marks:
            if monotonic() - asked > live.ask_again:
                asked = monotonic()
                try:
                    await whoever_is_signed_in(request)
                except SignInNeeded:
                    return
            yield ": ping\n\n" if new is None else f"event: change\ndata: {new}\n\n"
            if monotonic() - begun > LONGEST:
                return
    finally:
        await marks.aclose()  # type: ignore[attr-defined]


def _notice_id(session: Session, actor: Actor, code: str) -> int:
    return visible_notice(session, actor, code).id or 0


routes = [Route("/console/notices/{code}/events", events)]
