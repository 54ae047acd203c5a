"""The life of a notice: draft → approval where the rule asks for it → publish. Publishing is one transaction."""

import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

import segno
from sqlalchemy import CursorResult
from sqlmodel import Session, col, func, select, update

from adapters import contract
from adapters.contract import Can, Limits
from adapters.text import clean, plain
from bot import approvals, codes, errands, face, kits, progress, relays
from bot.errors import Conflict, Invalid, NotAllowed, NotFound
from bot.face import Face, Preview
from bot.hours import quiet
from bot.house import House
from bot.messages import FileUse, Message, to_payload
from bot.permissions import NOT_FOUND, Actor, Duty, actor_of, holders, issuers_for, villages_for
from bot.shown import body_of as body_of
from bot.shown import face_of as face_of
from bot.shown import file_use as file_use
from bot.shown import url_of as url_of
from bot.shown import uses_of as uses_of
from store import audit, files, outbox, reach
from store.tables import (
    Attachment,
    Audience,
    Channel,
    Chat,
    ChatKind,
    FileKind,
    Issuer,
    Lane,
    Notice,
    NoticeKind,
    NoticeRevision,
    NoticeState,
    NoticeTarget,
    Outbox,
    State,
    Unit,
    UnitKind,
    Wanted,
)

LONGEST = 20_000
"""Characters of a notice: some twelve pages."""
LARGEST_FILE = 20 * 1024 * 1024
"""Bytes; what Telegram lets a bot fetch (core.telegram.org/bots/api#getfile, 2026-11)."""
MOST_FILES = 10
LIFE = timedelta(hours=72)
URGENT_LIFE = timedelta(hours=24)
CLOSED_LIMITS = Limits(text=2000, caption=1000)
"""For a channel that is not open now: its posts wait, cut to what every messenger here takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    kind: FileKind
    name: str
    media_type: str
    content: bytes
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotice:
    """What somebody wants to send. `issuer_id` None: the first body that the author may speak for."""

    body: str
    unit_ids: tuple[int, ...]
    issuer_id: int | None = None
    kind: NoticeKind = NoticeKind.NOTICE
    is_urgent: bool = False
    wanted: Wanted = Wanted.ACKNOWLEDGE
    due_at: datetime | None = None
    audience_id: int | None = None
    files: tuple[NewFile, ...] = ()


# ---------------------------------------------------------------- writing


def draft(
    session: Session,
    house: House,
    actor: Actor,
    new: NewNotice,
    *,
    now: datetime,
    origin: str,
    idempotency_key: str | None = None,
    code: str | None = None,
) -> Notice:
    """Keep a notice as a draft. Sends nothing.

    The same `idempotency_key` of the same author with the same request gives the notice of the first time; with
    another request, Conflict. `code`: one from `new_code` that a preview showed already. Raises Invalid for what must
    be mended, NotFound for villages outside of the author's.
    """
    request = _request_hash(new)
    if idempotency_key is not None:
        earlier = session.exec(
            select(Notice).where(Notice.author_id == actor.person_id, Notice.idempotency_key == idempotency_key)
        ).first()
        if earlier is not None:
            if earlier.request_hash != request:
                raise Conflict("Khoá Idempotency-Key này đã dùng cho một thông báo khác.")
            return earlier
    checked = check(session, actor, new, now=now)
    notice = Notice(
        code=code or new_code(session),
        unit_id=checked.issuer.unit_id,
        issuer_id=checked.issuer.id or 0,
        issuer_name=checked.issuer.name,
        audience_id=new.audience_id,
        kind=new.kind,
        is_urgent=new.is_urgent,
        wanted=new.wanted,
        author_id=actor.person_id,
        origin=origin,
        idempotency_key=idempotency_key,
        request_hash=request,
        due_at=new.due_at,
        created_at=now,
    )
    session.add(notice)
    session.flush()
    assert notice.id is not None
    session.add(
        NoticeRevision(
            notice_id=notice.id,
            revision=1,
            body=checked.body,
            body_hash=sha256(checked.body.encode()).hexdigest(),
            author_id=actor.person_id,
            created_at=now,
        )
    )
    session.add_all(NoticeTarget(notice_id=notice.id, unit_id=unit_id) for unit_id in checked.unit_ids)
    for position, file in enumerate(new.files):
        file_id = files.keep(session, file.content, file.media_type, now=now)
        session.add(
            Attachment(
                notice_id=notice.id,
                file_id=file_id,
                position=position,
                kind=file.kind,
                name=file.name,
                language=file.language,
            )
        )
    audit.note(
        session, at=now, person_id=actor.person_id, unit_id=notice.unit_id, action="notice drafted", subject=notice.code
    )
    session.flush()
    return notice


@dataclass(frozen=True, slots=True)
class Checked:
    body: str
    issuer: Issuer
    unit_ids: tuple[int, ...]


def check(session: Session, actor: Actor, new: NewNotice, *, now: datetime) -> Checked:
    """The notice as it may be sent. Raises Invalid or NotFound."""
    body = clean(new.body)
    if not body:
        raise Invalid("Chưa có nội dung thông báo.", "body")
    if len(body) > LONGEST:
        raise Invalid(f"Nội dung dài {len(body)} chữ, nhiều nhất {LONGEST}. Bác rút ngắn hoặc gửi kèm tệp.", "body")
    if not new.unit_ids:
        raise Invalid("Chưa chọn thôn, bản nào.", "villages")
    mine = {village.id: village for village in villages_for(session, actor, Duty.BROADCAST)}
    chosen = [mine.get(unit_id) for unit_id in dict.fromkeys(new.unit_ids)]
    villages = [village for village in chosen if village is not None]
    if len(villages) != len(chosen):
        raise NotFound(NOT_FOUND)
    issuer = _issuer(session, actor, new.issuer_id, villages)
    if new.due_at is not None and new.due_at <= now:
        raise Invalid("Hạn đã qua.", "due_at")
    if new.audience_id is not None:
        audience = session.get(Audience, new.audience_id)
        if audience is None or not actor.may(Duty.BROADCAST, session.get_one(Unit, audience.unit_id)):
            raise NotFound(NOT_FOUND)
    if len(new.files) > MOST_FILES:
        raise Invalid(f"Nhiều nhất {MOST_FILES} tệp.", "files")
    for file in new.files:
        if not file.content:
            raise Invalid(f"Tệp {file.name} trống.", "files")
        if len(file.content) > LARGEST_FILE:
            raise Invalid(f"Tệp {file.name} lớn quá {LARGEST_FILE >> 20} MB.", "files")
    return Checked(body, issuer, tuple(village.id or 0 for village in villages))


def _issuer(session: Session, actor: Actor, wanted: int | None, villages: Sequence[Unit]) -> Issuer:
    """The body that signs: one that the author may speak for and whose place covers every village."""
    covering = []
    for issuer in issuers_for(session, actor):
        place = session.get_one(Unit, issuer.unit_id)
        if all(village.path.startswith(place.path) for village in villages):
            covering.append(issuer)
    if wanted is not None:
        covering = [issuer for issuer in covering if issuer.id == wanted]
    if not covering:
        raise Invalid("Bác không được ký tên nơi này cho các bản đã chọn. Chọn lại bản, hoặc nơi ký.", "issuer")
    return covering[0]


def new_code(session: Session) -> str:
    """A notice code that is free."""
    while True:
        code = codes.notice_code()
        if session.exec(select(Notice.id).where(Notice.code == code)).first() is None:
            return code


def _request_hash(new: NewNotice) -> str:
    """Names the request, so that the same key with other words is noticed."""
    data = [
        new.body,
        sorted(new.unit_ids),
        new.issuer_id,
        new.kind,
        new.is_urgent,
        new.wanted,
        new.due_at.isoformat() if new.due_at else None,
        new.audience_id,
        [[f.kind, f.name, f.language, sha256(f.content).hexdigest()] for f in new.files],
    ]
    return sha256(json.dumps(data, ensure_ascii=False).encode()).hexdigest()


# ---------------------------------------------------------------- reading


def targets_of(session: Session, notice: Notice) -> list[Unit]:
    """The notice's villages, in the order in which they were entered."""
    villages = (
        select(Unit).join(NoticeTarget, col(NoticeTarget.unit_id) == Unit.id).where(NoticeTarget.notice_id == notice.id)
    )
    return list(session.exec(villages.order_by(col(Unit.parent_id), col(Unit.id))).all())


def attachments_of(session: Session, notice: Notice) -> list[Attachment]:
    return list(
        session.exec(
            select(Attachment).where(Attachment.notice_id == notice.id).order_by(col(Attachment.position))
        ).all()
    )


def groups_of(session: Session, unit_ids: Iterable[int], audience_id: int | None) -> list[Chat]:
    """The groups that a notice to these villages is meant for."""
    audience = col(Chat.audience_id).is_(None) if audience_id is None else Chat.audience_id == audience_id
    return list(
        session.exec(
            select(Chat).where(Chat.kind == ChatKind.GROUP, col(Chat.unit_id).in_(list(unit_ids)), audience)
        ).all()
    )


def previews(session: Session, house: House, notice: Notice, *, now: datetime) -> list[Preview]:
    """What each messenger that reaches the notice's villages will post, exactly; with counting switched off."""
    unit_ids = [unit.id or 0 for unit in targets_of(session, notice)]
    shown, uses = face_of(session, house, notice, now=now), uses_of(session, notice)
    return previews_of(session, house, shown, uses, unit_ids, notice.audience_id, now=now)


def previews_of(
    session: Session,
    house: House,
    shown: Face,
    uses: Sequence[FileUse],
    unit_ids: Sequence[int],
    audience_id: int | None,
    *,
    now: datetime,
) -> list[Preview]:
    """The same for a notice that is not kept yet."""
    found = _channels(session, unit_ids, audience_id)
    by_hand = relays.by_hand(session, house, [channel_id for channel_id, _ in found])
    return [
        Preview(
            adapter,
            carried_messages(house, shown, uses)
            if channel_id in by_hand
            else messages_for(session, house, channel_id, shown, uses, now=now, preview=True),
        )
        for adapter, channel_id in {adapter: channel_id for channel_id, adapter in reversed(found)}.items()
    ]


def carried_messages(house: House, shown: Face, uses: Sequence[FileUse]) -> tuple[Message, ...]:
    """What a person carries into a group, beside the picture, which is drawn once the notice is out."""
    link = kits.link_of(house, kits.PREVIEWED)
    beside = (Message(plain(f"{shown.code} · {use.caption}" if use.caption else shown.code), file=use) for use in uses)
    return (*(Message(plain(words)) for words in kits.texts_of(shown, link)), *beside)


def messages_for(
    session: Session,
    house: House,
    channel_id: int,
    shown: Face,
    uses: Sequence[FileUse],
    *,
    now: datetime,
    preview: bool = False,
) -> tuple[Message, ...]:
    """A notice as messages for one channel."""
    messenger = house.messengers.get(channel_id)
    limits, can = (messenger.limits, messenger.can) if messenger else (CLOSED_LIMITS, Can.BUTTONS)
    qr = qr_file(session, shown.url, shown.code, now=now)
    own_house = messenger.link("nha", False) if messenger and messenger.link else ""
    return face.messages_of(shown, limits, can, qr=qr, files=uses, own_house=own_house, preview=preview)


def qr_file(session: Session, url: str, name: str, *, now: datetime) -> FileUse | None:
    """The QR code of an address as a picture; None without an address."""
    if not url:
        return None
    picture = io.BytesIO()
    # Level M withstands a scratched screen; ISO/IEC 18004 asks for four modules of quiet zone.
    segno.make(url, error="m", micro=False).save(picture, kind="png", scale=8, border=4)
    file_id = files.keep(session, picture.getvalue(), "image/png", now=now)
    return FileUse(file_id, contract.FileKind.PHOTO, f"{name}.png", "image/png")


# ---------------------------------------------------------------- approval


def needs_approval(session: Session, house: House, notice: Notice) -> bool:
    """Whether it waits for a second person when it is submitted."""
    return bool(asked_to_approve(session, house, notice))


def asked_to_approve(session: Session, house: House, notice: Notice) -> list[int]:
    """Who could release it as the second person, when it needs one; nobody: it goes out at once."""
    place = session.get_one(Unit, notice.unit_id)
    targets = session.exec(select(func.count()).where(NoticeTarget.notice_id == notice.id)).one()
    return second_persons(session, house, place, targets, notice.author_id, is_urgent=notice.is_urgent)


def second_persons(
    session: Session, house: House, place: Unit, villages: int, author_id: int, *, is_urgent: bool
) -> list[int]:
    """Persons who may release a notice of `place` to so many villages, when LOA_APPROVAL asks for a second one.

    Where nobody else holds the duty, nobody is waited for: a warning must not wait for a person who does not exist.
    """
    if not _rule(session, house, place, villages, is_urgent=is_urgent):
        return []
    return [person for person in holders(session, place, Duty.APPROVE) if person != author_id]


def _rule(session: Session, house: House, place: Unit, villages: int, *, is_urgent: bool) -> bool:
    if "urgent" in house.approval and is_urgent:
        return True
    if "commune" not in house.approval or place.kind is not UnitKind.COMMUNE:
        return False
    below = select(func.count()).where(
        Unit.kind == UnitKind.VILLAGE,
        col(Unit.valid_to).is_(None),
        col(Unit.path).startswith(place.path, autoescape=True),
    )
    return villages >= session.exec(below).one()


def submit(session: Session, house: House, actor: Actor, notice: Notice, *, now: datetime) -> NoticeState:
    """Publish, or ask a second person to. Returns the new state; submitting again changes nothing."""
    if notice.author_id != actor.person_id:
        raise NotFound(NOT_FOUND)
    if notice.state not in (NoticeState.DRAFT, NoticeState.RETURNED):
        return notice.state
    asked = asked_to_approve(session, house, notice)
    if not asked:
        publish(session, house, notice, by=actor, now=now)
        return NoticeState.PUBLISHED
    _become(session, notice, NoticeState.WAITING, frm=(NoticeState.DRAFT, NoticeState.RETURNED))
    audit.note(
        session, at=now, person_id=actor.person_id, unit_id=notice.unit_id, action="approval asked", subject=notice.code
    )
    shown, uses = face_of(session, house, notice, now=now), uses_of(session, notice)

    unit_ids = [unit.id or 0 for unit in targets_of(session, notice)]
    ways = relays.split(session, house, groups_of(session, unit_ids, notice.audience_id))

    def preview(channel_id: int) -> tuple[Message, ...]:
        if ways.by_hand and not ways.posted:
            return carried_messages(house, shown, uses)
        return messages_for(session, house, channel_id, shown, uses, now=now, preview=True)

    approvals.ask(session, notice, actor, asked, preview, villages=len(unit_ids), ways=ways, now=now)
    return NoticeState.WAITING


def approve(session: Session, house: House, actor: Actor, notice: Notice, *, now: datetime) -> None:
    """Release somebody else's notice. NotAllowed for its own author, Conflict when somebody was first."""
    may_decide(session, actor, notice)
    publish(session, house, notice, by=actor, now=now)
    approvals.decided(session, house, notice, actor, now=now, reason=None)


def send_back(session: Session, house: House, actor: Actor, notice: Notice, reason: str, *, now: datetime) -> None:
    """Return a notice to its author with the reason."""
    may_decide(session, actor, notice)
    reason = clean(reason)
    if not reason:
        raise Invalid("Bác cho biết lý do trả lại.", "reason")
    _become(session, notice, NoticeState.RETURNED, frm=(NoticeState.WAITING,), return_reason=reason[:500])
    audit.note(
        session,
        at=now,
        person_id=actor.person_id,
        unit_id=notice.unit_id,
        action="notice returned",
        subject=notice.code,
    )
    approvals.decided(session, house, notice, actor, now=now, reason=reason[:500])


def may_decide(session: Session, actor: Actor, notice: Notice) -> None:
    """Raise unless the actor may approve or return this notice now."""
    if not actor.may(Duty.APPROVE, session.get_one(Unit, notice.unit_id)):
        raise NotFound(NOT_FOUND)
    if notice.author_id == actor.person_id:
        raise NotAllowed("Người soạn không tự duyệt được. Cần người thứ hai.")
    if notice.state is not NoticeState.WAITING:
        raise Conflict("Thông báo này không còn chờ duyệt: có người vừa xử lý rồi.")


# ---------------------------------------------------------------- publishing


def publish(session: Session, house: House, notice: Notice, *, by: Actor, now: datetime) -> None:
    """One transaction: the notice, a row of figures for each village, and one outbox row for each platform call."""
    if notice.due_at is not None and notice.due_at <= now:
        raise Conflict("Hạn ghi trong thông báo đã qua nên không phát nữa. Trả lại để người soạn sửa hạn.")
    # The right to send is that of now, not of the day on which it was written.
    author = actor_of(session, notice.author_id)
    villages = targets_of(session, notice)
    if not all(author.may(Duty.BROADCAST, village) for village in villages):
        raise NotAllowed("Người soạn không còn được giao các bản này. Soạn lại thông báo.")
    _become(
        session,
        notice,
        NoticeState.PUBLISHED,
        frm=(NoticeState.DRAFT, NoticeState.RETURNED, NoticeState.WAITING),
        published_at=now,
        expires_at=notice.due_at or now + (URGENT_LIFE if notice.is_urgent else LIFE),
        approver_id=by.person_id if by.person_id != notice.author_id else None,
    )
    connection = session.connection()
    by_words: dict[tuple[str, ...], list[int]] = defaultdict(list)
    shown, uses = face_of(session, house, notice, now=now), uses_of(session, notice)
    unit_ids = [unit.id or 0 for unit in villages]
    channel_ids = [channel_id for channel_id, _ in _channels(session, unit_ids, notice.audience_id)]
    by_hand = relays.by_hand(session, house, channel_ids)
    for channel_id in channel_ids:
        if channel_id in by_hand:
            continue
        messages = messages_for(session, house, channel_id, shown, uses, now=now)
        by_words[tuple(map(to_payload, messages))].append(channel_id)
    session.flush()
    lane = Lane.URGENT if notice.is_urgent else Lane.NOTICE
    for payloads, posting in by_words.items():
        outbox.fan_out(
            connection,
            notice,
            channel_ids=posting,
            payloads=payloads,
            lane=lane,
            now=now,
            is_silent=not notice.is_urgent and quiet(house.local(now)),
        )
    groups = groups_of(session, unit_ids, notice.audience_id)
    carried = [group for group in groups if group.channel_id in by_hand]
    kits.queue(session, house, notice, carried, lane=lane, now=now)
    reach.open_notice(connection, notice.id or 0)
    audit.note(
        session,
        at=now,
        person_id=by.person_id,
        unit_id=notice.unit_id,
        action="notice published",
        subject=notice.code,
        detail=f"{len(villages)} villages",
    )
    progress.begin(session, notice, now=now)


def cancel(session: Session, house: House, actor: Actor, notice: Notice, *, now: datetime) -> None:
    """Drop a notice that is not out, or stop what has not left us of one that is."""
    place = session.get_one(Unit, notice.unit_id)
    if notice.author_id != actor.person_id and not actor.may(Duty.APPROVE, place):
        raise NotFound(NOT_FOUND)
    if notice.state is NoticeState.PUBLISHED:
        connection = session.connection()
        outbox.lapse(connection, notice_id=notice.id, now=now)
        stopped = outbox.cancel_notice(connection, notice.id or 0)
        errands.stop(session, house, notice, now=now)
        detail = f"{stopped} rows stopped"
    elif notice.state in (NoticeState.DRAFT, NoticeState.WAITING, NoticeState.RETURNED):
        was_waiting = notice.state is NoticeState.WAITING
        _become(session, notice, NoticeState.CANCELLED, frm=(notice.state,))
        if was_waiting:
            approvals.withdrawn(session, notice, now=now)
        detail = "never sent"
    else:
        raise Conflict("Thông báo này đã dừng rồi.")
    audit.note(
        session,
        at=now,
        person_id=actor.person_id,
        unit_id=notice.unit_id,
        action="notice stopped",
        subject=notice.code,
        detail=detail,
    )


def resend(
    session: Session, actor: Actor, notice: Notice, states: Iterable[Literal["failed", "unknown"]], *, now: datetime
) -> int:
    """Send again where it failed or where nobody knows; returns how many platform calls are queued."""
    place = session.get_one(Unit, notice.unit_id)
    if notice.author_id != actor.person_id and not actor.may(Duty.APPROVE, place):
        raise NotFound(NOT_FOUND)
    if notice.state is not NoticeState.PUBLISHED:
        raise Conflict("Thông báo này chưa phát hoặc đã dừng.")
    wanted = [State(state) for state in states]
    if any(state not in (State.FAILED, State.UNKNOWN) for state in wanted):
        raise Invalid("Chỉ gửi lại nơi chưa gửi được hoặc chưa rõ.", "states")
    rows = session.exec(select(Outbox.id).where(Outbox.notice_id == notice.id, col(Outbox.state).in_(wanted))).all()
    life = now + (URGENT_LIFE if notice.is_urgent else LIFE)
    connection = session.connection()
    changes = {"attempts": 0, "not_before": None, "error": "", "error_detail": "", "expires_at": life}
    queued = sum(outbox.advance(connection, row_id or 0, outbox.Step.RESEND, **changes) for row_id in rows)
    audit.note(
        session,
        at=now,
        person_id=actor.person_id,
        unit_id=notice.unit_id,
        action="notice resent",
        subject=notice.code,
        detail=f"{queued} rows",
    )
    return queued


def _channels(session: Session, unit_ids: Sequence[int], audience_id: int | None) -> list[tuple[int, str]]:
    """(channel id, adapter) of the groups that the notice is meant for."""
    audience = col(Chat.audience_id).is_(None) if audience_id is None else Chat.audience_id == audience_id
    found = (
        select(Channel.id, Channel.adapter)
        .join(Chat, col(Chat.channel_id) == Channel.id)
        .where(Chat.kind == ChatKind.GROUP, col(Chat.unit_id).in_(list(unit_ids)), audience)
        .distinct()
        .order_by(col(Channel.id))
    )
    return [(channel_id or 0, adapter) for channel_id, adapter in session.exec(found).all()]


def _become(
    session: Session, notice: Notice, state: NoticeState, *, frm: Sequence[NoticeState], **changes: object
) -> None:
    """The guarded step of a notice's life: of two people who decide at once, one gets Conflict."""
    session.flush()
    guarded = update(Notice).where(col(Notice.id) == notice.id, col(Notice.state).in_(list(frm)))
    result = session.connection().execute(guarded.values(state=state, **changes))
    assert isinstance(result, CursorResult)
    if result.rowcount != 1:
        raise Conflict("Có người vừa xử lý thông báo này rồi.")
    session.refresh(notice)
