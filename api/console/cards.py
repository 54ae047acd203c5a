"""What is printed or sent as a picture: household cards, a village's set-up sheet, a notice for the notice board.

Words are read in one transaction, drawn in a thread when it is over.
"""

import asyncio
from datetime import datetime
from urllib.parse import quote

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api.auth import form_of, me, signed_in
from api.cardsheet import cards_of
from api.errors import answer
from api.reads import visible_notice
from api.state import runtime
from bot import kits, notices, people, relays
from bot.cards import new_card as renew_card
from bot.errors import Conflict, Invalid, NotAllowed, NotFound
from bot.house import House
from bot.households import by_number
from bot.permissions import NOT_FOUND, Actor, Duty, actor_of, village_for
from bot.setup import setup_words
from pictures import CardWords, NoticeWords, SetupWords, cards_pdf, notice_pdf, notice_png, setup_pdf
from store import audit
from store.tables import Person, Unit

NO_CARDS = (
    "Chưa in được thẻ hộ: máy chủ chưa có địa chỉ công khai nên điện thoại của bà con quét mã QR sẽ không mở được gì. "
    "Người quản trị máy đặt địa chỉ ấy (LOA_PUBLIC_URL) rồi in."
)
NO_REGISTER = "Thôn, bản này chưa có sổ hộ nên chưa có thẻ."
NO_CARRIER = "Chưa có người chuyển nên chưa cấp được mã đăng nhập. Ghi người chuyển ở trang của thôn, bản."
NOT_YOUR_CODE = (
    "Mã đăng nhập của người chuyển chỉ chính người ấy lấy được ở trang này, hoặc quản trị cấp. "
    "Phiếu không có mã thì ai phụ trách cũng in được."
)


def _drawing(content: bytes, media_type: str, name: str) -> Response:
    """What was drawn, for a person who is signed in: shown at once, kept by nobody on the way."""
    return Response(
        content,
        media_type=media_type,
        headers={
            "content-disposition": f"inline; filename*=UTF-8''{quote(name, safe='')}",
            "cache-control": "no-store",
        },
    )


# ---------------------------------------------------------------- household cards


@signed_in
async def cards(request: Request) -> Response:
    """GET /console/villages/{code}/cards: a sheet to print and cut, `?number=`: one card. Labels only for the head."""
    house = runtime(request)
    code, number = request.path_params["code"], request.query_params.get("number", "")
    village, found = await house.store.read(_cards, house.house, me(request), code, _number(number) if number else None)
    if not house.house.public_url:
        return answer(request, 409, NO_CARDS)
    if not found:
        raise Conflict(NO_REGISTER)
    drawn = await asyncio.to_thread(cards_pdf, village.name, found)
    return _drawing(drawn, "application/pdf", f"the-ho-{village.code}{'-' if number else ''}{number}.pdf")


def _cards(session: Session, house: House, actor: Actor, code: str, number: int | None) -> tuple[Unit, list[CardWords]]:
    village = village_for(session, actor, code, Duty.ENROL)
    with_labels = actor.may(Duty.REGISTER, village)
    return village, cards_of(session, house, village, with_labels=with_labels, number=number)


def _number(typed: str) -> int:
    if not typed.isdecimal() or len(typed) > 9:
        raise Invalid("Chưa ghi số hộ.", "number")
    return int(typed)


@signed_in
async def new_card(request: Request) -> Response:
    """POST /console/villages/{code}/new-card: the household's old card is void; leads to the new one, to print.

    A redirect, because a sheet that is loaded again must not void the card that was just printed.
    """
    form = await form_of(request)
    house = runtime(request)
    if not house.house.public_url:
        return answer(request, 409, NO_CARDS)
    code, number = request.path_params["code"], _number(str(form.get("number", "")).strip())
    await house.store.write(_new_card, me(request), code, number, house.clock())
    return RedirectResponse(f"/console/villages/{quote(code)}/cards?number={number}", 303)


def _new_card(session: Session, actor: Actor, code: str, number: int, now: datetime) -> None:
    village = village_for(session, actor, code, Duty.REGISTER)
    household = by_number(session, village.id or 0, number)
    if household is None:
        raise Invalid(f"{village.name} không có hộ số {number}.", "number")
    renew_card(session, actor, household, now)


# ---------------------------------------------------------------- the set-up sheet


@signed_in
async def setup(request: Request) -> Response:
    """GET /console/villages/{code}/setup.pdf: who carries into which group (`?chat=`, else the village's)."""
    house = runtime(request)
    code, chat = request.path_params["code"], request.query_params.get("chat", "")
    words = await house.store.read(_setup, house.house, me(request), code, chat, house.clock())
    return _drawing(await asyncio.to_thread(setup_pdf, words), "application/pdf", f"cai-dat-{code}.pdf")


@signed_in
async def setup_with_code(request: Request) -> Response:
    """POST the same: with a one-time code for the carrier to sign in with, made now."""
    form = await form_of(request)
    house = runtime(request)
    code, chat = request.path_params["code"], str(form.get("chat", ""))
    words = await house.store.write(_setup, house.house, me(request), code, chat, house.clock(), with_code=True)
    return _drawing(await asyncio.to_thread(setup_pdf, words), "application/pdf", f"cai-dat-{code}.pdf")


def _setup(
    session: Session, house: House, actor: Actor, code: str, chat: str, now: datetime, *, with_code: bool = False
) -> SetupWords:
    """What the sheet says; `with_code` one is made, for the carrier's own eyes.

    A village that has no such group yet gets the sheet with "chưa có" in its places.
    """
    village = village_for(session, actor, code, Duty.ENROL)
    groups = relays.of_village(session, village, now=now)
    if chat:
        groups = [group for group in groups if str(group.chat_id) == chat]
        if not groups:
            raise NotFound(NOT_FOUND)
    group = next((group for group in groups if not group.audience), groups[0] if groups else None)
    made = _code_for(session, house, actor, group.carrier_id if group else None, now) if with_code else ""
    return setup_words(session, house, village, group, code=made)


def _code_for(session: Session, house: House, actor: Actor, carrier_id: int | None, now: datetime) -> str:
    """A one-time code of the carrier. Whoever holds it is the carrier, so only that person or its manager makes one."""
    if carrier_id is None:
        raise Conflict(NO_CARRIER)
    held = actor_of(session, carrier_id).grants
    roots = actor.paths(Duty.MANAGE)
    manages = bool(held) and all(any(grant.path.startswith(root) for root in roots) for grant in held)
    if carrier_id != actor.person_id and not manages:
        raise NotAllowed(NOT_YOUR_CODE)
    subject = f"person:{carrier_id}"
    audit.note(session, at=now, person_id=actor.person_id, unit_id=None, action="link code made", subject=subject)
    return people.new_link_code(session, house, session.get_one(Person, carrier_id), now=now)


# ---------------------------------------------------------------- a notice


@signed_in
async def board(request: Request) -> Response:
    """GET /console/notices/{code}/board.pdf: a released notice on A4 for the notice board."""
    house = runtime(request)
    words = await house.store.read(
        _words, house.house, me(request), request.path_params["code"], house.clock(), is_out=True
    )
    return _drawing(await asyncio.to_thread(notice_pdf, words), "application/pdf", f"{words.code}.pdf")


@signed_in
async def relay_picture(request: Request) -> Response:
    """GET /console/notices/{code}/relay.png: the picture that carriers are given, here with the public page's address.

    What a village gets bears that village's own link.
    """
    house = runtime(request)
    words = await house.store.read(_words, house.house, me(request), request.path_params["code"], house.clock())
    return _drawing(await asyncio.to_thread(notice_png, words), "image/png", f"{words.code}.png")


def _words(
    session: Session, house: House, actor: Actor, code: str, now: datetime, *, is_out: bool = False
) -> NoticeWords:
    notice = visible_notice(session, actor, code)
    if is_out and notice.published_at is None:
        raise NotFound(NOT_FOUND)
    face = notices.face_of(session, house, notice, now=now)
    return kits.words_of(face, face.url)


routes = [
    Route("/console/villages/{code}/cards", cards),
    Route("/console/villages/{code}/new-card", new_card, methods=["POST"]),
    Route("/console/villages/{code}/setup.pdf", setup, methods=["GET"]),
    Route("/console/villages/{code}/setup.pdf", setup_with_code, methods=["POST"]),
    Route("/console/notices/{code}/board.pdf", board),
    Route("/console/notices/{code}/relay.png", relay_picture),
]
