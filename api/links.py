"""A village's own page of a notice, /t/{token}: read without an account, answered by one tap, counted honestly.

Fetching the page changes nothing and counts nothing. An open is counted by a picture that only a browser with our
cookie loads, or by an answer; addresses count for nothing, since a whole village may share one.
"""

from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

from sqlmodel import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api import auth
from api.agents import looks_ahead
from api.errors import STATUS, answer
from api.pages import PublicNotice, missed, public, refused, room_of
from api.residents import (
    Refusal,
    Resident,
    check_form,
    check_origin,
    check_rate,
    field,
    form_of,
    keep,
    resident,
    wait_of,
)
from api.state import runtime
from api.templating import page
from bot import face, residents, texts
from bot.errors import Refused
from bot.house import House
from bot.residents import Link, Mine
from store.tables import Answer, Notice, Unit

DOT = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent picture of one pixel."""
OPEN_COST, ANSWER_COST = 0.2, 0.5
"""Of what a browser may do: a village that opens a link and answers at once, five hundred browsers behind one address,
must find that address's budget wide enough."""

Act = Callable[[Request, Resident, FormData], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Shown:
    """The link with all that its page says to one browser."""

    link: Link
    notice: PublicNotice
    village: str
    room: str
    """Code of the village's web chat; '' when there is none to go to."""
    mine: Mine
    answers: tuple[Answer, ...]
    """That can be given now."""


async def show(request: Request) -> Response:
    """GET /t/{token}."""
    return await _page(request, resident(request))


async def dot(request: Request) -> Response:
    """GET /t/{token}/o.gif: always the same answer, whatever was counted."""
    if _is_genuine(request):
        house, who, token = runtime(request), resident(request), request.path_params["token"]
        link = await house.store.read(_unopened, house.house, token, who.sender_id)
        if link is not None and not wait_of(request, OPEN_COST):
            keys = session_keys(request)
            await house.store.write(
                residents.opened, house.house, token, who.sender_id, session_keys=keys, now=house.clock()
            )
    return Response(DOT, media_type="image/gif", headers={"cache-control": "no-store"})


async def take_answer(request: Request) -> Response:
    """POST /t/{token}: the household took note, or comes, or does not, or needs help."""
    return await _done(request, _answer)


async def take_household(request: Request) -> Response:
    """POST /t/{token}/household: which household this browser is, or that nobody remembers."""
    return await _done(request, _household)


async def back_to_page(request: Request) -> Response:
    """GET /t/{token}/household: somebody reloads what a refused form left in the address line."""
    return RedirectResponse(f"/t/{quote(_token(request), safe='')}")


async def _answer(request: Request, who: Resident, form: FormData) -> None:
    house, word = runtime(request), field(form, "answer")
    keys, now = session_keys(request), house.clock()
    await house.store.write(
        residents.answer, house.house, _token(request), who.sender_id, word, session_keys=keys, now=now
    )
    house.nudge_sender()


async def _household(request: Request, who: Resident, form: FormData) -> None:
    house, now = runtime(request), runtime(request).clock()
    token = _token(request)
    if field(form, "forgot"):
        await house.store.write(residents.forgot_household, house.house, token, who.sender_id, now=now)
    else:
        number = field(form, "number")
        await house.store.write(residents.name_household, house.house, token, who.sender_id, number, now=now)


# ---------------------------------------------------------------- inside


async def _done(request: Request, act: Act) -> Response:
    """Check who asks and how often, do it, and lead back to the page; a refusal is told on the page itself."""
    who, form = resident(request), FormData()
    try:
        check_origin(request)
        check_rate(request, ANSWER_COST)
    except Refusal as refusal:
        return refused(request, refusal)
    try:
        form = await form_of(request)
        check_form(who, field(form, "form_token"))
        await act(request, who, form)
    except Refusal as refusal:
        return await _page(request, who, status=refusal.status, error=refusal.words)
    except Refused as refusal:
        status = next(STATUS[kind] for kind in type(refusal).__mro__ if kind in STATUS)
        return await _page(request, who, status=status, error=refusal.words, typed=field(form, "number"))
    return RedirectResponse(f"/t/{quote(_token(request), safe='')}#xong", 303)


async def _page(request: Request, who: Resident, *, status: int = 200, error: str = "", typed: str = "") -> Response:
    house = runtime(request)
    shown = await house.store.read(_look, house.house, _token(request), who.sender_id)
    if shown is None:
        return await missed(request, "notice link") or answer(request, 404, texts.LINK_WRONG)
    if shown.link.is_revoked:
        return page(request, "link_revoked.html", status=410, code=shown.link.code)
    response = page(
        request,
        "link.html",
        status=status,
        token=_token(request),
        notice=shown.notice,
        village=shown.village,
        room=shown.room,
        mine=shown.mine,
        answers=shown.answers,
        recorded=_recorded(house.house, shown.mine),
        form_token=who.form_token,
        wants_number=shown.mine.is_asked or bool(request.query_params.get("ho")) or bool(typed),
        error=error,
        typed=typed,
    )
    response.headers["cache-control"] = "no-store"
    keep(response, request, who)
    return response


def _look(session: Session, house: House, token: str, sender_id: str) -> Shown | None:
    """None for a token that nobody gave out."""
    link = residents.link_of(session, token)
    row = session.get_one(Notice, link.notice_id) if link else None
    notice = public(session, row) if row else None
    if link is None or notice is None:
        return None
    village = session.get_one(Unit, link.unit_id)
    has_chat = any(messenger.adapter == "webchat" for messenger in house.messengers.values())
    mine = residents.look(session, house, link, sender_id)
    given = face.ANSWERS[notice.wanted] if mine.can_answer and not notice.is_recalled else ()
    return Shown(
        link,
        notice,
        village.name,
        room_of(session, village) if has_chat else "",
        mine,
        tuple(word for word in given if word is not mine.answer),
    )


def _recorded(house: House, mine: Mine) -> str:
    """ "Đã ghi: hộ số 12, 9:14"; '' before there is an answer."""
    if mine.answer is None or mine.answered_at is None:
        return ""
    at = house.local(mine.answered_at)
    return texts.house_answered(mine.answer, mine.household, f"{at.hour}:{at:%M} ngày {texts.day(at)}")


def _is_genuine(request: Request) -> bool:
    """A person's browser shows our page: not a preview, not a fetch ahead, not another site's page."""
    return (
        request.method == "GET"
        and not resident(request).is_new
        and not looks_ahead(request.headers)
        and request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
    )


def _unopened(session: Session, house: House, token: str, sender_id: str) -> Link | None:
    """The link, while this browser has not been counted for it."""
    link = residents.link_of(session, token)
    return None if link is None or residents.is_known(session, house, link, sender_id) else link


def session_keys(request: Request) -> list[str]:
    """Fingerprints of the sign-ins that this browser holds, at the console and at /truong."""
    vault = runtime(request).vault
    held = [request.cookies.get(name, "") for name in (auth.COOKIE, auth.PHONE)]
    return [auth.session_key(vault, cookie) for cookie in held if cookie]


def _token(request: Request) -> str:
    token: str = request.path_params["token"]
    return token


routes = [
    Route("/t/{token}", show),
    Route("/t/{token}", take_answer, methods=["POST"]),
    Route("/t/{token}/household", back_to_page),
    Route("/t/{token}/household", take_household, methods=["POST"]),
    Route("/t/{token}/o.gif", dot),
]
