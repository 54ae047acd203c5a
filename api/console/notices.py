"""Lists of notices, and one notice: before its release as it will be posted, afterwards how far it reached."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from adapters.contract import FileKind
from api.auth import form_of, me, signed_in
from api.console.live import mark_of
from api.pages import attached, file_answer
from api.reach import csv_answer, reach_seen
from api.reads import NoticeLine, VillageLine, notice_lines, village_lines, villages_of, visible_notice
from api.state import runtime
from api.templating import page
from bot import corrections, notices, unknowns
from bot.errors import Invalid, NotFound
from bot.face import Preview
from bot.house import House
from bot.permissions import NOT_FOUND, Actor, Duty, village_for
from bot.reach import NoticeReach, of_notice
from bot.reach_sheet import csv_rows
from bot.relays import RELAY
from store import files
from store.tables import (
    Attachment,
    Channel,
    Chat,
    ChatKind,
    Notice,
    NoticeState,
    Outbox,
    Person,
    RelayGroup,
    State,
    Unit,
)

PAGE = 20
TABS: Mapping[str, tuple[str, tuple[NoticeState, ...]]] = {
    "": ("Tất cả", tuple(NoticeState)),
    "draft": ("Nháp", (NoticeState.DRAFT, NoticeState.RETURNED)),
    "waiting": ("Chờ duyệt", (NoticeState.WAITING,)),
    "published": ("Đã phát", (NoticeState.PUBLISHED,)),
    "stopped": ("Đã bỏ, thu hồi", (NoticeState.CANCELLED, NoticeState.RECALLED)),
}


# ---------------------------------------------------------------- the list


@signed_in
async def listed(request: Request) -> Response:
    """GET /console/notices?tab=&before="""
    tab = request.query_params.get("tab", "")
    tab = tab if tab in TABS else ""
    before = request.query_params.get("before", "")
    lines: list[NoticeLine] = await runtime(request).store.read(
        notice_lines,
        me(request),
        states=TABS[tab][1],
        limit=PAGE + 1,
        before=int(before) if before.isdecimal() and len(before) < 18 else None,
    )
    older = lines[PAGE - 1].id if len(lines) > PAGE else None
    return page(request, "console/notices.html", lines=lines[:PAGE], older=older, tab=tab, tabs=TABS)


# ---------------------------------------------------------------- one notice


@dataclass(frozen=True, slots=True)
class People:
    """Who had a hand in it."""

    author: str
    approver: str | None


@dataclass(frozen=True, slots=True)
class ByHand:
    """A group that a person carries the notice to."""

    village: str
    group: str
    carrier: str
    """'' when nobody is named."""
    backup: str


@dataclass(frozen=True, slots=True)
class Unreleased:
    """A notice that is not out, exactly as it would be posted."""

    notice: Notice
    body: str
    people: People
    previews: tuple[Preview, ...]
    villages: tuple[VillageLine, ...]
    groups: int
    """That we write to ourselves."""
    by_hand: tuple[ByHand, ...]
    pieces: int
    """Texts that each carrier forwards."""
    without: tuple[str, ...]
    """Villages in which nobody is reached."""
    households: int
    files: tuple[Attachment, ...]
    pictures: Mapping[int, str]
    """Addresses of the previews' pictures, by file."""
    needs_approval: bool
    is_mine: bool
    may_decide: bool
    may_stop: bool


@dataclass(frozen=True, slots=True)
class Released:
    """A notice that is out, with the figures of the villages that the reader may see."""

    notice: Notice
    body: str
    people: People
    reach: NoticeReach
    codes: Mapping[int, str]
    """Of villages by id."""
    registers: frozenset[int]
    """Villages in which the reader ticks households: by the register, or calling at houses."""
    files: tuple[Attachment, ...]
    queued: int
    may_stop: bool
    mark: str


@signed_in
async def show(request: Request) -> Response:
    """GET /console/notices/{code}"""
    house = runtime(request)
    code, now = request.path_params["code"], house.clock()
    if await house.store.read(_is_out, me(request), code):
        released = await house.store.read(_released, me(request), code)
        return page(request, "console/released.html", n=released, now=now)
    # A write: showing what will be posted keeps the picture of its QR code.
    unreleased = await house.store.write(_unreleased, house.house, me(request), code, now)
    return page(request, "console/unreleased.html", n=unreleased, has_address=bool(house.house.public_url))


@signed_in
async def table(request: Request) -> Response:
    """GET /console/notices/{code}/table: the figures alone, for the script that keeps the page fresh."""
    house = runtime(request)
    found = await house.store.read(_released, me(request), request.path_params["code"])
    return page(request, "console/reach_table.html", n=found, now=house.clock())


def _is_out(session: Session, actor: Actor, code: str) -> bool:
    return visible_notice(session, actor, code).published_at is not None


def _unreleased(session: Session, house: House, actor: Actor, code: str, now: datetime) -> Unreleased:
    notice = visible_notice(session, actor, code)
    place = session.get_one(Unit, notice.unit_id)
    villages = village_lines(session, villages_of(session, actor, notice))
    previews = notices.previews(session, house, notice, now=now)
    groups, by_hand, reached = _meant_for(session, notice, {v.id: v.name for v in villages})
    attached_files = notices.attachments_of(session, notice)
    is_mine = notice.author_id == actor.person_id
    approves = actor.may(Duty.APPROVE, place)
    return Unreleased(
        notice=notice,
        body=notices.body_of(session, notice),
        people=_people(session, notice),
        previews=tuple(previews),
        villages=tuple(villages),
        groups=groups,
        by_hand=tuple(by_hand),
        pieces=max((len(_texts(shown)) for shown in previews if shown.adapter == RELAY), default=0),
        without=tuple(v.name for v in villages if v.id not in reached),
        households=sum(v.households for v in villages),
        files=tuple(attached_files),
        pictures=_pictures(session, notice, previews, attached_files),
        needs_approval=notices.needs_approval(session, house, notice),
        is_mine=is_mine,
        may_decide=approves and not is_mine and notice.state is NoticeState.WAITING,
        may_stop=(is_mine or approves) and notice.state is not NoticeState.CANCELLED,
    )


def _pictures(
    session: Session, notice: Notice, previews: Sequence[Preview], attached_files: Sequence[Attachment]
) -> dict[int, str]:
    """Attachments by their own address; the QR code, which has none before the release, within the page."""
    addresses = {a.file_id: f"/console/notices/{notice.code}/files/{a.position}" for a in attached_files}
    uses = [message.file for shown in previews for message in shown.messages if message.file]
    found: dict[int, str] = {}
    for use in uses:
        if use.kind is FileKind.PHOTO and use.file_id not in found:
            kept = None if use.file_id in addresses else files.load(session, use.file_id)
            inline = f"data:{kept.media_type};base64,{b64encode(kept.content).decode()}" if kept else ""
            found[use.file_id] = addresses.get(use.file_id, inline)
    return {file_id: address for file_id, address in found.items() if address}


def _released(session: Session, actor: Actor, code: str) -> Released:
    notice = visible_notice(session, actor, code)
    if notice.published_at is None:
        raise NotFound(NOT_FOUND)
    villages = villages_of(session, actor, notice)
    open_rows = select(func.count()).where(
        Outbox.notice_id == notice.id, col(Outbox.state).in_((State.QUEUED, State.LEASED, State.SENDING))
    )
    return Released(
        notice=notice,
        body=notices.body_of(session, notice),
        people=_people(session, notice),
        reach=of_notice(session, notice, villages),
        codes={v.id or 0: v.code for v in villages},
        registers=frozenset(v.id or 0 for v in villages if actor.may(Duty.REGISTER, v) or actor.may(Duty.VISIT, v)),
        files=tuple(notices.attachments_of(session, notice)),
        queued=session.exec(open_rows).one(),
        may_stop=corrections.may_change(session, actor, notice),
        mark=mark_of(session, notice.id or 0),
    )


def _people(session: Session, notice: Notice) -> People:
    approver = session.get(Person, notice.approver_id) if notice.approver_id else None
    return People(session.get_one(Person, notice.author_id).name, approver.name if approver else None)


def _texts(shown: Preview) -> list[object]:
    return [message for message in shown.messages if message.file is None]


def _meant_for(
    session: Session, notice: Notice, villages: Mapping[int, str]
) -> tuple[int, list[ByHand], frozenset[int]]:
    """How many groups we write to ourselves, those that people carry to, and the villages that have either."""
    audience = col(Chat.audience_id).is_(None) if notice.audience_id is None else Chat.audience_id == notice.audience_id
    carrier, backup = aliased(Person), aliased(Person)
    rows = session.exec(
        select(Chat, Channel.hands_over, carrier.name, backup.name)
        .join(Channel, col(Channel.id) == Chat.channel_id)
        .outerjoin(RelayGroup, col(RelayGroup.chat_id) == Chat.id)
        .outerjoin(carrier, col(carrier.id) == RelayGroup.carrier_id)
        .outerjoin(backup, col(backup.id) == RelayGroup.backup_id)
        .where(Chat.kind == ChatKind.GROUP, col(Chat.unit_id).in_(list(villages)), audience)
        .order_by(col(Chat.unit_id), col(Chat.id))
    ).all()
    by_hand = [
        ByHand(villages[chat.unit_id or 0], chat.title, carries or "", stands_in or "")
        for chat, hands_over, carries, stands_in in rows
        if hands_over
    ]
    return len(rows) - len(by_hand), by_hand, frozenset(chat.unit_id or 0 for chat, *_ in rows)


# ---------------------------------------------------------------- what is done with it

Act = Callable[[Session, House, Actor, Notice, FormData, datetime], None]


def _submit(session: Session, house: House, actor: Actor, notice: Notice, form: FormData, now: datetime) -> None:
    notices.submit(session, house, actor, notice, now=now)


def _approve(session: Session, house: House, actor: Actor, notice: Notice, form: FormData, now: datetime) -> None:
    notices.approve(session, house, actor, notice, now=now)


def _return(session: Session, house: House, actor: Actor, notice: Notice, form: FormData, now: datetime) -> None:
    reason = str(form.get("reason", "")).strip()
    if not reason:
        raise Invalid("Chưa ghi lý do trả lại.", "reason")
    notices.send_back(session, house, actor, notice, reason, now=now)


def _cancel(session: Session, house: House, actor: Actor, notice: Notice, form: FormData, now: datetime) -> None:
    notices.cancel(session, house, actor, notice, now=now)


def _resend(session: Session, house: House, actor: Actor, notice: Notice, form: FormData, now: datetime) -> None:
    match form.get("states"):
        case "failed":
            notices.resend(session, actor, notice, ["failed"], now=now)
        case "unknown":
            notices.resend(session, actor, notice, ["unknown"], now=now)
        case _:
            raise Invalid("Chưa chọn gửi lại chỗ nào.", "states")


def _settle(session: Session, house: House, actor: Actor, notice: Notice, form: FormData, now: datetime) -> None:
    row, arrived = str(form.get("row", "")), form.get("arrived")
    if not row.isdecimal() or len(row) > 17 or arrived not in ("yes", "no"):
        raise Invalid("Chưa chọn nhóm nào đã tới, nhóm nào không tới.", "row")
    unknowns.settle(session, actor, notice, int(row), arrived == "yes", now)


def _correct(session: Session, house: House, actor: Actor, notice: Notice, form: FormData, now: datetime) -> None:
    seen, body = str(form.get("revision", "")), str(form.get("body", ""))
    if not seen.isdecimal() or len(seen) > 9:
        raise Invalid("Tải lại trang rồi đính chính lại.", "revision")
    was = notice.revision
    if not corrections.correct(session, house, actor, notice, body, now=now, seen=int(seen)) and was == int(seen):
        raise Invalid("Lời mới giống hệt lời đang phát, nên không có gì để đính chính.", "body")


def _recall(session: Session, house: House, actor: Actor, notice: Notice, form: FormData, now: datetime) -> None:
    corrections.recall(session, house, actor, notice, str(form.get("reason", "")), now=now)


def _revoke(session: Session, house: House, actor: Actor, notice: Notice, form: FormData, now: datetime) -> None:
    village = village_for(session, actor, str(form.get("village", "")), Duty.FIGURES)
    corrections.revoke_link(session, actor, notice, village, now=now)


ACTS: Mapping[str, Act] = {
    "submit": _submit,
    "approve": _approve,
    "return": _return,
    "cancel": _cancel,
    "resend": _resend,
    "unknown": _settle,
    "correct": _correct,
    "recall": _recall,
    "revoke-link": _revoke,
}


@signed_in
async def act(request: Request) -> Response:
    """POST /console/notices/{code}/{act}"""
    form = await form_of(request)
    house = runtime(request)
    code, doing = request.path_params["code"], ACTS.get(request.path_params["act"])
    if doing is None:
        raise NotFound(NOT_FOUND)
    await house.store.write(_act, house.house, me(request), code, doing, form, house.clock())
    house.nudge_sender()
    return RedirectResponse(f"/console/notices/{code.upper()}", 303)


def _act(session: Session, house: House, actor: Actor, code: str, doing: Act, form: FormData, now: datetime) -> None:
    doing(session, house, actor, visible_notice(session, actor, code), form, now)


# ---------------------------------------------------------------- as files


@signed_in
async def reach_csv(request: Request) -> Response:
    """GET /console/notices/{code}/reach.csv"""
    _, _, figures = await runtime(request).store.read(reach_seen, me(request), request.path_params["code"])
    return csv_answer(request.path_params["code"].upper(), csv_rows(figures))


@signed_in
async def file(request: Request) -> Response:
    """GET /console/notices/{code}/files/{n}: an attachment, also of a notice that is not out."""
    code, position = request.path_params["code"].upper(), request.path_params["position"]
    kept = await runtime(request).store.read(_file, me(request), code, position)
    if kept is None:
        raise NotFound(NOT_FOUND)
    return file_answer(*kept)


def _file(session: Session, actor: Actor, code: str, position: int):  # type: ignore[no-untyped-def]
    visible_notice(session, actor, code)
    return attached(session, code, position)


routes = [
    Route("/console/notices", listed),
    Route("/console/notices/{code}", show, methods=["GET"]),
    Route("/console/notices/{code}/table", table),
    Route("/console/notices/{code}/reach.csv", reach_csv),
    Route("/console/notices/{code}/files/{position:int}", file),
    Route("/console/notices/{code}/{act}", act, methods=["POST"]),
]
