"""Pages that anybody may open: the front page, a notice's own page, a household card. Opening one changes nothing."""

import logging
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from urllib.parse import quote

from sqlmodel import Session, col, select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api import feeds, qr
from api.auth import COOKIE, PHONE, VISIT, open_session, phone_session, set_cookie, visitors_csrf, visitors_form
from api.errors import answer
from api.reads import RELEASED, title_of
from api.residents import Refusal, check_form, check_origin, check_rate, field, form_of, keep, resident
from api.state import address_of, is_from_here, runtime
from api.templating import page
from bot import households, notices, residents
from bot.codes import notice_typed
from bot.errors import NotFound
from bot.house import House
from store import attempts, files, rooms
from store.tables import (
    Attachment,
    Channel,
    Chat,
    ChatKind,
    FileKind,
    Grade,
    Notice,
    NoticeRevision,
    NoticeState,
    NoticeTarget,
    Person,
    RelayGroup,
    Role,
    RoleName,
    Standing,
    StoredFile,
    Unit,
    UnitKind,
    Wanted,
)

logger = logging.getLogger(__name__)

GUESSES = 60
"""Wrong codes from one address in a while, each of which costs a look and a write; then they only cost the look."""
SHOWN_AS: dict[str, str] = {
    "image/jpeg": "inline",
    "image/png": "inline",
    "image/webp": "inline",
    "audio/ogg": "inline",
    "audio/mpeg": "inline",
    "audio/mp4": "inline",
    "application/pdf": "inline",
}
"""What a browser may show by itself; the rest is downloaded, so that no page of a stranger opens under our name."""
SANDBOX = "default-src 'none'; img-src 'self'; media-src 'self'; sandbox"


# ---------------------------------------------------------------- the front page


@dataclass(frozen=True, slots=True)
class DemoPerson:
    id: int
    name: str
    username: str
    role: RoleName
    place: str


@dataclass(frozen=True, slots=True)
class DemoGroup:
    code: str
    village: str
    title: str


@dataclass(frozen=True, slots=True)
class DemoCarrier:
    """Who carries notices into a group that no account of ours may enter."""

    id: int
    name: str
    village: str
    group: str


@dataclass(frozen=True, slots=True)
class Tour:
    """What the demo commune offers to look at."""

    commune: str
    people: tuple[DemoPerson, ...]
    groups: tuple[DemoGroup, ...]
    carrier: DemoCarrier | None
    latest: str | None
    """Code of the newest notice that is out."""
    link: str
    """Token of its page for a village whose group is reached by hand, '' when there is none."""


async def front(request: Request) -> Response:
    """GET /: in the demo a short tour, else what this is and where to sign in."""
    house = runtime(request)
    communes = await house.store.read(feeds.communes)
    if not house.settings.demo:
        return page(request, "front.html", tour=None, communes=communes)
    visit, csrf = visitors_csrf(request)
    tour = await house.store.read(_tour)
    response = page(request, "front.html", tour=tour, communes=communes, csrf=csrf, may_enter=is_from_here(request))
    set_cookie(response, request, VISIT, visit)
    response.headers["cache-control"] = "no-store"
    return response


def _tour(session: Session) -> Tour:
    people = session.exec(
        select(Person, Role.role, Unit.name)
        .join(Role, col(Role.person_id) == Person.id)
        .join(Unit, col(Unit.id) == Role.unit_id)
        .where(Person.is_active, col(Person.username).is_not(None), col(Role.revoked_at).is_(None))
        .order_by(col(Role.id))
    ).all()
    first: dict[int, DemoPerson] = {}
    for person, role, place in people:
        first.setdefault(
            person.id or 0, DemoPerson(person.id or 0, person.name, person.username or "", RoleName(role), place)
        )
    groups = session.exec(
        select(Unit.code, Unit.name, Chat.title)
        .join(Chat, col(Chat.unit_id) == Unit.id)
        .join(Channel, col(Channel.id) == Chat.channel_id)
        .where(Channel.adapter == "webchat", Chat.kind == ChatKind.GROUP, Unit.kind == UnitKind.VILLAGE)
        .order_by(col(Unit.id))
    ).all()
    carried = session.exec(
        select(Person.id, Person.name, Unit.name, Chat.title)
        .join(RelayGroup, col(RelayGroup.carrier_id) == Person.id)
        .join(Chat, col(Chat.id) == RelayGroup.chat_id)
        .join(Unit, col(Unit.id) == Chat.unit_id)
        .where(Person.is_active, Chat.standing != Standing.GONE)
        .order_by(col(Chat.id))
    ).first()
    latest_id, latest = session.exec(
        select(Notice.id, Notice.code)
        .where(col(Notice.state).in_(RELEASED))
        .order_by(col(Notice.published_at).desc())
        .limit(1)
    ).first() or (None, None)
    link = session.exec(
        select(NoticeTarget.link_token).where(
            NoticeTarget.notice_id == latest_id,
            col(NoticeTarget.link_token).is_not(None),
            col(NoticeTarget.link_revoked_at).is_(None),
        )
    ).first()
    commune = session.exec(
        select(Unit.name).where(Unit.kind == UnitKind.COMMUNE).order_by(col(Unit.id)).limit(1)
    ).first()
    return Tour(
        commune or "",
        tuple(first.values()),
        tuple(DemoGroup(*group) for group in groups),
        DemoCarrier(*carried) if carried else None,
        latest,
        link or "",
    )


async def enter(request: Request) -> Response:
    """POST /demo/enter: sign in as somebody of the demo commune. Only in the demo, and only from this very machine."""
    house = runtime(request)
    if not house.settings.demo or not is_from_here(request):
        raise HTTPException(404)
    form = await visitors_form(request)
    wanted = str(form.get("person", ""))
    if not wanted.isdecimal() or await house.store.read(_is_demo_person, int(wanted)) is None:
        raise HTTPException(404)
    to = str(form.get("to", ""))
    if to == "/truong":  # as on a phone that is linked: whoever is signed in to the console stays so
        cookie = await house.store.write(phone_session, house.vault, int(wanted), now=house.clock())
        response = RedirectResponse(to, 303)
        set_cookie(response, request, PHONE, cookie)
        return response
    response = RedirectResponse(to if to in ("/console/", "/console/notices/new") else "/console/", 303)
    set_cookie(response, request, COOKIE, await open_session(request, int(wanted)))
    return response


def _is_demo_person(session: Session, person_id: int) -> int | None:
    known = select(Person.id).where(Person.id == person_id, Person.is_active, col(Person.username).is_not(None))
    return session.exec(known).first()


# ---------------------------------------------------------------- a notice's own page


@dataclass(frozen=True, slots=True)
class PublicFile:
    position: int
    name: str
    kind: FileKind
    language: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class PublicNotice:
    code: str
    title: str
    issuer: str
    body: str
    """What holds now; of a recalled notice, the words of the recall, '' where there are none."""
    former: str
    """What a recalled notice said, which no longer holds."""
    kind: str
    is_urgent: bool
    is_recalled: bool
    wanted: Wanted
    published_at: datetime
    corrected_at: datetime | None
    """When the text was last changed after it was out."""
    due_at: datetime | None
    files: tuple[PublicFile, ...]


async def notice(request: Request) -> Response:
    """GET /tb/{code}: the whole notice, for whoever wants to know whether it is real; leads to its own address."""
    house = runtime(request)
    found = await _found(request, request.path_params["code"])
    if isinstance(found, Response):
        return found
    if request.path_params["code"] != found.code:
        return RedirectResponse(f"/tb/{found.code}")
    address = notices.url_of(house.house, found.code)
    return page(request, "notice.html", notice=found, address=address, qr=qr.svg(address) if address else "")


async def notice_qr(request: Request) -> Response:
    """GET /tb/{code}/qr.svg and qr.png; 404 in words while residents cannot reach us."""
    found = await _found(request, request.path_params["code"])
    if isinstance(found, Response):
        return found
    address = notices.url_of(runtime(request).house, found.code)
    if not address:
        return answer(request, 404, "Chưa có địa chỉ công khai nên chưa có mã QR.")
    if request.path_params["kind"] == "png":
        return Response(qr.png(address), media_type="image/png")
    return Response(qr.svg_file(address), media_type="image/svg+xml")


async def notice_file(request: Request) -> Response:
    """GET /tb/{code}/files/{n}: an attachment."""
    found = await _found(request, request.path_params["code"])
    if isinstance(found, Response):
        return found
    kept = await runtime(request).store.read(attached, found.code, request.path_params["position"])
    return file_answer(*kept) if kept else answer(request, 404)


async def check(request: Request) -> Response:
    """GET /tb/: where a code is typed, to see whether its notice is real; `?ma=` is what was typed."""
    typed = request.query_params.get("ma", "").strip()
    if not typed:
        return page(request, "check.html")
    found = await _found(request, typed)
    return found if isinstance(found, Response) else RedirectResponse(f"/tb/{found.code}", 303)


async def _found(request: Request, typed: str) -> PublicNotice | Response:
    """The notice, however its code was typed, when it is out; else a warning. Wrong codes are counted."""
    found = await runtime(request).store.read(_public, notice_typed(typed))
    if found is not None:
        return found
    code = typed.strip().upper()[:20]
    return await missed(request, "notice code") or page(request, "no_notice.html", status=404, code=code)


async def missed(request: Request, what: str) -> Response | None:
    """Count the miss; an answer when there were too many. What is right is served all the same: neighbours share it."""
    house = runtime(request)
    key = house.vault.fingerprint(what, address_of(request))
    now = house.clock()
    wait = await house.store.read(attempts.wait, [key], now=now)
    wait = wait or await house.store.write(attempts.take, {key: GUESSES}, now=now)
    if not wait:
        return None
    return answer(request, 429, headers={"retry-after": str(ceil(wait.total_seconds()))})


def _public(session: Session, code: str) -> PublicNotice | None:
    """None for what was never released: a draft is nobody's business."""
    row = session.exec(select(Notice).where(Notice.code == code)).first()
    return public(session, row) if row is not None else None


def public(session: Session, row: Notice) -> PublicNotice | None:
    """The notice as anybody may read it; None for what was never released."""
    if row.published_at is None or row.state not in RELEASED:
        return None
    attachments = session.exec(
        select(Attachment, StoredFile.media_type, StoredFile.size)
        .join(StoredFile, col(StoredFile.id) == Attachment.file_id)
        .where(Attachment.notice_id == row.id)
        .order_by(col(Attachment.position))
    ).all()
    is_recalled = row.state is NoticeState.RECALLED
    now_says = session.get_one(NoticeRevision, (row.id, row.revision))
    body, former = now_says.body, ""
    if is_recalled:
        # The words of a recall are a revision of their own; the notice itself is the one before it.
        before = session.get(NoticeRevision, (row.id, row.revision - 1))
        body, former = (now_says.body, before.body) if before else ("", now_says.body)
    return PublicNotice(
        code=row.code,
        title=title_of(former or body),
        issuer=row.issuer_name,
        body=body,
        former=former,
        kind=row.kind,
        is_urgent=row.is_urgent,
        is_recalled=is_recalled,
        wanted=row.wanted,
        published_at=row.published_at,
        corrected_at=now_says.created_at if row.revision > 1 else None,
        due_at=row.due_at,
        files=tuple(
            PublicFile(file.position, file.name, file.kind, file.language, media_type, size)
            for file, media_type, size in attachments
        ),
    )


def attached(session: Session, code: str, position: int) -> tuple[files.Kept, str] | None:
    """An attachment of the notice with its name."""
    found = session.exec(
        select(Attachment)
        .join(Notice, col(Notice.id) == Attachment.notice_id)
        .where(Notice.code == code, Attachment.position == position)
    ).first()
    kept = files.load(session, found.file_id) if found else None
    return (kept, found.name) if found and kept else None


def file_answer(kept: files.Kept, name: str) -> Response:
    """A file of somebody's, served so that it can do nothing under our name."""
    shown_as = SHOWN_AS.get(kept.media_type, "attachment")
    return Response(
        kept.content,
        media_type=kept.media_type if shown_as == "inline" else "application/octet-stream",
        headers={
            "content-disposition": f"{shown_as}; filename*=UTF-8''{quote(name or 'tep', safe='')}",
            "content-security-policy": SANDBOX,
            "cache-control": "private, max-age=3600",
        },
    )


# ---------------------------------------------------------------- a household's card


@dataclass(frozen=True, slots=True)
class CardLink:
    label: str
    address: str


@dataclass(frozen=True, slots=True)
class Card:
    number: int
    village: str
    room: str
    """Code of the village's own web chat; '' when it has none."""
    is_mine: bool
    """This browser belongs to the household."""
    back: str
    """Token of the notice from which the browser came, else of the one that it last answered; '' for none."""


async def card(request: Request) -> Response:
    """GET /h/{token}: what the card is for, where to use it. Opening it joins nothing: scanners open it too."""
    house, who, token = runtime(request), resident(request), request.path_params["token"]
    came_from = request.query_params.get("t", "")
    try:
        shown = await house.store.read(_card, house.house, token, who.sender_id, came_from)
    except NotFound as error:
        return await missed(request, "card") or answer(request, 404, error.words)
    response = page(
        request,
        "card.html",
        card=shown,
        links=card_links(house.house, token, shown.room),
        form_token=who.form_token if residents.home(house.house) else "",
    )
    response.headers["cache-control"] = "no-store"
    keep(response, request, who)
    return response


async def join_card(request: Request) -> Response:
    """POST /h/{token}: this browser belongs to the card's household, here and in the web chat."""
    house, who, token = runtime(request), resident(request), request.path_params["token"]
    try:
        check_origin(request)
        check_rate(request, 1)
        form = await form_of(request)
        check_form(who, field(form, "form_token"))
        await house.store.write(residents.join_by_card, house.house, token, who.sender_id, now=house.clock())
    except Refusal as refusal:
        return refused(request, refusal)
    except NotFound as error:
        return await missed(request, "card") or answer(request, 404, error.words)
    back = field(form, "back")
    return RedirectResponse(f"/h/{token}{f'?t={quote(back)}' if back else ''}", 303)


def refused(request: Request, refusal: Refusal) -> Response:
    """The refusal as a page."""
    wait = {"retry-after": str(refusal.retry_after)} if refusal.retry_after else {}
    return answer(request, refusal.status, refusal.words, headers=wait)


def _card(session: Session, house: House, token: str, sender_id: str, came_from: str) -> Card:
    """What the card's page says to this browser. Raises NotFound for a forged or an old card."""
    household = households.household_of_card(session, house, token)
    village = session.get_one(Unit, household.unit_id)
    account = residents.account_of(session, house, sender_id)
    link = residents.link_of(session, came_from) if came_from else None
    back = came_from if link and not link.is_revoked else residents.latest_link(session, house, sender_id)
    is_mine = account is not None and account.household_id == household.id and account.grade is Grade.CARD
    return Card(household.number, village.name, room_of(session, village), is_mine, back)


def room_of(session: Session, village: Unit) -> str:
    """The code of the village's own web chat; '' when it has none."""
    return village.code if rooms.has_group(session, village.id or 0) else ""


NAMES = {"webchat": "trang nhắn tin của bản", "telegram": "Telegram", "zalo_bot": "Zalo", "zalo_oa": "Zalo"}


def card_links(house: House, token: str, room: str) -> list[CardLink]:
    """Where the card's holder can go on, one messenger each; the one without an account first.

    `room`: code of the village's web chat, where the private conversation opens at once; '' leads to the list of all.
    """
    ordered = sorted(house.messengers.values(), key=lambda m: (m.adapter != "webchat", m.channel_id))
    found: dict[str, CardLink] = {}
    for messenger in ordered:
        if messenger.link is None:
            continue
        try:
            address = messenger.link(f"h_{token}", False)
            if messenger.adapter == "webchat" and room:
                address = f"/chat/{quote(room, safe='')}/private?start={quote(f'h_{token}', safe='')}"
        except ValueError:  # this messenger's links cannot carry the token; the others still can
            logger.error("a card's token does not fit a link", extra={"channel": messenger.channel_id})
            continue
        label = f"Mở bằng {NAMES.get(messenger.adapter, messenger.adapter)}"
        found.setdefault(messenger.adapter, CardLink(label, address))
    return list(found.values())


routes = [
    Route("/", front),
    Route("/demo/enter", enter, methods=["POST"]),
    Route("/tb", check),
    Route("/tb/", check),
    Route("/tb/{code}", notice),
    Route("/tb/{code}/qr.{kind:str}", notice_qr),
    Route("/tb/{code}/files/{position:int}", notice_file),
    Route("/h/{token}", card),
    Route("/h/{token}", join_card, methods=["POST"]),
]
