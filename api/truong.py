"""/truong: what somebody carries into the village's own group, on a cheap phone with a bad line.

The page works without JavaScript. With it (static/truong.js) presses wait in the page until the line is back: each says
how long ago it was made, and the same one told twice changes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlmodel import Session, col, select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from api import truong_roll
from api.auth import PHONE, whoever_is_at_the_phone
from api.chat_files import file_name
from api.errors import FormTooOld
from api.pages import file_answer
from api.state import runtime
from api.templating import STATIC
from api.truong_door import (
    HOME,
    LONGEST_CODE,
    NO_DUTY,
    NO_STORE,
    asker_of,
    at_the_phone,
    carrier,
    door,
    enter,
    form_of,
    inner_page,
    leave,
    refusal_of,
    refused_json,
    wants_json,
)
from api.truong_roll import RollLine, roll_lines
from bot import errands, texts
from bot.calls import HelpCall, help_calls
from bot.errands import Done, Kit
from bot.errors import Refused
from bot.house import House
from bot.permissions import Actor
from store import files
from store.tables import Errand, Person

LARGEST_ID = 2**63 - 1
LONGEST_AGO = timedelta(days=14)
"""How long a press may have waited in the page for a line."""


@dataclass(frozen=True, slots=True)
class Work:
    """All that the page shows."""

    calls: tuple[HelpCall, ...]
    waiting: tuple[Kit, ...]
    with_others: Mapping[int, str]
    """Who has what waits, where it is not this person any more: '' for the commune."""
    done: tuple[Done, ...]
    rolls: tuple[RollLine, ...]


def work_of(session: Session, house: House, actor: Actor, now: datetime) -> Work:
    waiting = tuple(errands.waiting(session, house, actor.person_id))
    return Work(
        tuple(help_calls(session, actor, now=now)),
        waiting,
        _with_others(session, actor, waiting),
        tuple(errands.lately_done(session, house, actor.person_id, now=now)),
        tuple(roll_lines(session, actor, now=now)),
    )


def _with_others(session: Session, actor: Actor, waiting: Sequence[Kit]) -> dict[int, str]:
    rows = session.exec(
        select(Errand.outbox_id, Person.name)
        .outerjoin(Person, col(Person.id) == Errand.person_id)
        .where(
            col(Errand.outbox_id).in_([kit.outbox_id for kit in waiting]),
            col(Errand.person_id).is_distinct_from(actor.person_id),
        )
    )
    return {outbox_id: name or "" for outbox_id, name in rows}


# ---------------------------------------------------------------- the page


async def show(request: Request) -> Response:
    """GET /truong: the work of whoever this phone belongs to, or the form for the one-time code (`?ma=` fills it)."""
    asker = await whoever_is_at_the_phone(request)
    typed = request.query_params.get("ma", "")[:LONGEST_CODE]
    if asker is None or (typed and PHONE not in request.cookies):
        return door(request, typed=typed)
    if not asker.actor.grants:
        return door(request, error=NO_DUTY)
    request.state.phone = asker
    return await _page(request)


async def to_the_page(request: Request) -> Response:
    """GET of an address that forms are sent to: the page was asked for again."""
    return RedirectResponse(HOME, 303)


async def _page(request: Request, *, status: int = 200, error: str = "") -> Response:
    house = runtime(request)
    work = await house.store.read(work_of, house.house, carrier(request), house.clock())
    return inner_page(request, "truong", status=status, error=error, work=work)


async def worker(request: Request) -> Response:
    """GET /truong/sw.js: the service worker, which may keep what lies under /truong."""
    script = (STATIC / "truong-sw.js").read_bytes()
    headers = {"service-worker-allowed": HOME, "cache-control": "no-cache"}
    return Response(script, media_type="text/javascript", headers=headers)


# ---------------------------------------------------------------- what is carried


@at_the_phone
async def picture(request: Request) -> Response:
    """GET /truong/{id}/anh.png: the notice as a picture. 404 for somebody else's."""
    house = runtime(request)
    kit, kept = await house.store.read(_picture, house.house, carrier(request), _id(request))
    return _file(request, kept, f"{kit.code}.png")


def _picture(session: Session, house: House, actor: Actor, outbox_id: int) -> tuple[Kit, files.Kept | None]:
    kit = errands.kit_for(session, house, actor, outbox_id)
    return kit, files.load(session, kit.picture_id) if kit.picture_id is not None else None


@at_the_phone
async def attached(request: Request) -> Response:
    """GET /truong/{id}/tep/{n}: the n-th recording or document of the kit, recordings first."""
    house = runtime(request)
    number = request.path_params["number"]
    kept, name = await house.store.read(_attached, house.house, carrier(request), _id(request), number)
    return _file(request, kept, name)


def _file(request: Request, kept: files.Kept | None, name: str) -> Response:
    """Sent to a linked phone once over a thin line, but asked for each time: after a sign-out nothing of it opens."""
    if kept is None:
        raise HTTPException(404)
    keeps = "private, no-cache" if asker_of(request).is_phone else "no-store"
    headers = {"etag": f'"{sha256(kept.content).hexdigest()[:16]}"', "cache-control": keeps}
    if request.headers.get("if-none-match", "").removeprefix("W/") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    response = file_answer(kept, name)
    response.headers.update(headers)
    return response


def _attached(
    session: Session, house: House, actor: Actor, outbox_id: int, number: int
) -> tuple[files.Kept | None, str]:
    kit = errands.kit_for(session, house, actor, outbox_id)
    uses = (*kit.voices, *kit.documents)
    if not 1 <= number <= len(uses):
        return None, ""
    use = uses[number - 1]
    return files.load(session, use.file_id), file_name(use.name, use.kind)


# ---------------------------------------------------------------- what was pressed


@at_the_phone
async def carried(request: Request) -> Response:
    """POST /truong/{id}/da-chuyen: it is in the group, since `ago` milliseconds."""

    def work(session: Session, house: House, actor: Actor, ago: timedelta, now: datetime) -> None:
        errands.done(session, house, actor, _id(request), at=now - ago, now=now)

    return await _told(request, work, "Đã báo lúc {}")


@at_the_phone
async def not_carried(request: Request) -> Response:
    """POST /truong/{id}/bam-nham: pressed by mistake."""

    def work(session: Session, house: House, actor: Actor, ago: timedelta, now: datetime) -> None:
        errands.take_back(session, house, actor, _id(request), now=now)

    return await _told(request, work, "Đã ghi lại là chưa chuyển, lúc {}")


async def _told(
    request: Request, work: Callable[[Session, House, Actor, timedelta, datetime], None], words: str
) -> Response:
    house = runtime(request)
    try:
        form = await form_of(request)
        now = house.clock()
        await house.store.write(work, house.house, carrier(request), ago_of(form.get("ago")), now)
    except (Refused, FormTooOld) as error:
        if wants_json(request):
            return refused_json(error)
        status, why = refusal_of(error)
        return await _page(request, status=status, error=why)
    house.nudge_sender()
    if wants_json(request):
        return JSONResponse({"words": words.format(texts.moment(house.house.local(now)))}, headers=NO_STORE)
    return RedirectResponse(f"{HOME}#k{_id(request)}", 303)


def ago_of(told: object) -> timedelta:
    """How long a press waited in the page; clamped, since a phone's clock may say anything."""
    text = str(told or "")
    return min(timedelta(milliseconds=int(text)), LONGEST_AGO) if text.isdecimal() and len(text) < 12 else timedelta(0)


def _id(request: Request) -> int:
    outbox_id: int = request.path_params["id"]
    if outbox_id > LARGEST_ID:
        raise HTTPException(404)
    return outbox_id


routes = [
    Route(HOME, show, methods=["GET"]),
    Route(f"{HOME}/sw.js", worker, methods=["GET"]),
    Route(f"{HOME}/vao", enter, methods=["POST"]),
    Route(f"{HOME}/ra", leave, methods=["POST"]),
    Route(f"{HOME}/vao", to_the_page, methods=["GET"]),
    Route(f"{HOME}/ra", to_the_page, methods=["GET"]),
    Route(f"{HOME}/{{id:int}}/anh.png", picture, methods=["GET"]),
    Route(f"{HOME}/{{id:int}}/tep/{{number:int}}", attached, methods=["GET"]),
    Route(f"{HOME}/{{id:int}}/da-chuyen", carried, methods=["POST"]),
    Route(f"{HOME}/{{id:int}}/bam-nham", not_carried, methods=["POST"]),
    Route(f"{HOME}/{{id:int}}/da-chuyen", to_the_page, methods=["GET"]),
    Route(f"{HOME}/{{id:int}}/bam-nham", to_the_page, methods=["GET"]),
    *truong_roll.routes,
]
