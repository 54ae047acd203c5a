"""What is out is wrong: it is corrected, or taken back, in every chat that holds it, by whatever means the chat has.

Chats whose messenger edits get the new words in place. Where that cannot be, the new words are posted below the old
ones, or a person carries them. Nothing is forgotten: each revision of the words stays, and so does who took note.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import CursorResult
from sqlmodel import Session, col, select, update

from adapters.contract import Can
from adapters.text import clean
from bot import counting, errands, kits, notices, texts
from bot.errors import Conflict, Invalid, NotAllowed, NotFound
from bot.face import Face
from bot.hours import quiet
from bot.house import House
from bot.messages import of_payload, to_payload
from bot.permissions import NOT_FOUND, Actor, Duty
from store import audit, outbox, reach
from store.tables import (
    Action,
    Channel,
    Chat,
    Content,
    Lane,
    Notice,
    NoticeRevision,
    NoticeState,
    NoticeTarget,
    Outbox,
    State,
    Unit,
)

LONGEST_REASON = 500
TAKEN_AWAY_WITHIN = timedelta(hours=47)
"""No messenger that deletes at all does so for ever; the strictest here stops after 48 hours
(https://core.telegram.org/bots/api#deletemessage, 2026-11). What is older is answered instead."""

THERE = frozenset({State.SENT, State.SENDING, State.UNKNOWN})
"""The words are in the chat, or may be."""
MEANT = THERE | {State.QUEUED, State.LEASED, State.FAILED}
"""The notice is there, is about to be, or was not to be got there: what was stopped or came too late stays so."""


@dataclass(slots=True)
class Part:
    """A post of the notice's last words."""

    row_id: int
    state: State
    payload: str
    message_id: str | None
    sent_at: datetime | None


@dataclass(slots=True)
class Holding:
    """What one chat has, or is about to get."""

    chat: Chat
    unit_id: int
    by_hand: bool
    parts: list[Part] = field(default_factory=list)

    @property
    def chat_id(self) -> int:
        return self.chat.id or 0

    @property
    def is_bound(self) -> bool:
        """It still is the village's chat: one that was taken off it gets no new post."""
        return self.chat.unit_id == self.unit_id

    def any_in(self, states: Iterable[State]) -> bool:
        return any(part.state in states for part in self.parts)

    @property
    def left_us(self) -> bool:
        """By hand: somebody has it, or carried it, reported or not."""
        return self.any_in(THERE) or any(part.sent_at for part in self.parts)

    @property
    def reply_to(self) -> str | None:
        return self.parts[0].message_id if self.parts[0].state is State.SENT else None


# ---------------------------------------------------------------- the two acts


def correct(
    session: Session,
    house: House,
    actor: Actor,
    notice: Notice,
    body: str,
    *,
    now: datetime,
    seen: int | None = None,
) -> bool:
    """Let the notice say `body` wherever it is. False: it says so already, and nothing was done.

    `seen`: the revision that the actor had before their eyes. Raises NotFound for who may not, Invalid for what must be
    mended, Conflict when somebody was faster or there is nothing out to correct.
    """
    _may_change(session, actor, notice)
    body = clean(body)
    if not body:
        raise Invalid("Chưa có nội dung đính chính.", "body")
    if len(body) > notices.LONGEST:
        raise Invalid(f"Nội dung dài {len(body)} chữ, nhiều nhất {notices.LONGEST}. Bác rút ngắn.", "body")
    if notice.state is NoticeState.RECALLED:
        raise Conflict("Thông báo này đã thu hồi nên không đính chính được nữa. Bác soạn thông báo mới.")
    if notice.state is not NoticeState.PUBLISHED:
        raise Conflict("Thông báo này chưa phát nên không phải đính chính: bác sửa bản nháp.")
    if not _revise(session, actor, notice, body, now=now, seen=seen):
        return False
    shown = notices.face_of(session, house, notice, now=now)
    holdings = _holdings(session, notice)
    done = _Work(session, house, notice, now)
    done.by_hand([held for held in holdings if held.by_hand and (held.left_us or held.any_in(MEANT))])
    for channel_id, held in _by_channel(holdings).items():
        done.reword(channel_id, held, shown)
    done.end(actor, "notice corrected")
    return True


def recall(session: Session, house: House, actor: Actor, notice: Notice, reason: str, *, now: datetime) -> bool:
    """Take the notice back: what waits is stopped, posts are deleted or answered, carriers carry the recall.

    False: it was recalled before, and nothing was done. Raises as `correct` does.
    """
    _may_change(session, actor, notice)
    reason = clean(reason)
    if not reason:
        raise Invalid("Bác cho bà con biết vì sao thu hồi.", "reason")
    if notice.state is NoticeState.RECALLED:
        return False
    if notice.state is not NoticeState.PUBLISHED:
        raise Conflict("Thông báo này chưa phát nên không phải thu hồi: bác bấm bỏ bản nháp.")
    words = texts.recall_words(reason[:LONGEST_REASON])
    if not _revise(session, actor, notice, words, now=now, state=NoticeState.RECALLED):
        return False
    shown = notices.face_of(session, house, notice, now=now)
    holdings = _holdings(session, notice)
    outbox.cancel_notice(session.connection(), notice.id or 0)
    done = _Work(session, house, notice, now)
    done.by_hand([held for held in holdings if held.by_hand and held.left_us])
    for channel_id, held in _by_channel(holdings).items():
        done.take_away(channel_id, held, shown)
    done.end(actor, "notice recalled")
    return True


def revoke_link(session: Session, actor: Actor, notice: Notice, village: Unit, *, now: datetime) -> bool:
    """The village's link of this notice opens nothing any more. False: it was revoked before, or there is none."""
    _may_change(session, actor, notice)
    target = session.get(NoticeTarget, (notice.id, village.id))
    if target is None:
        raise NotFound(NOT_FOUND)
    if target.link_token is None or target.link_revoked_at is not None:
        return False
    target.link_revoked_at = now
    session.add(target)
    audit.note(
        session,
        at=now,
        person_id=actor.person_id,
        unit_id=village.id,
        action="link revoked",
        subject=notice.code,
    )
    session.flush()
    return True


def may_change(session: Session, actor: Actor, notice: Notice) -> bool:
    """Whether the actor may correct or recall this notice: its author, or who approves there."""
    return notice.author_id == actor.person_id or actor.may(Duty.APPROVE, session.get_one(Unit, notice.unit_id))


def _may_change(session: Session, actor: Actor, notice: Notice) -> None:
    if not may_change(session, actor, notice):
        raise NotFound(NOT_FOUND)
    # The right is that of now, as when it was published: an author may have lost a village since.
    place = session.get_one(Unit, notice.unit_id)
    if actor.may(Duty.APPROVE, place):
        return
    if not all(actor.may(Duty.BROADCAST, village) for village in notices.targets_of(session, notice)):
        raise NotAllowed("Bác không còn được giao các bản của thông báo này. Nhờ cán bộ xã làm.")


# ---------------------------------------------------------------- the words


def _revise(
    session: Session,
    actor: Actor,
    notice: Notice,
    body: str,
    *,
    now: datetime,
    state: NoticeState = NoticeState.PUBLISHED,
    seen: int | None = None,
) -> bool:
    """Keep the new words as the next revision. Of two who do so at once one gets Conflict; the same words: False."""
    if notices.body_of(session, notice) == body:
        return False
    revision = notice.revision if seen is None else seen
    life = notices.URGENT_LIFE if notice.is_urgent else notices.LIFE
    session.flush()
    guarded = (
        update(Notice)
        .where(
            col(Notice.id) == notice.id, col(Notice.revision) == revision, col(Notice.state) == NoticeState.PUBLISHED
        )
        # What sets a wrong thing right may still be sent when the notice itself would not be.
        .values(revision=revision + 1, state=state, expires_at=max(notice.expires_at or now, now + life))
    )
    result = session.connection().execute(guarded)
    assert isinstance(result, CursorResult)
    session.refresh(notice)
    if result.rowcount != 1:
        if notices.body_of(session, notice) == body:  # the same form twice at the same moment
            return False
        raise Conflict("Có người vừa sửa thông báo này rồi. Tải lại trang để xem lời mới.")
    session.add(
        NoticeRevision(
            notice_id=notice.id or 0,
            revision=notice.revision,
            body=body,
            body_hash=sha256(body.encode()).hexdigest(),
            author_id=actor.person_id,
            created_at=now,
        )
    )
    session.flush()
    return True


# ---------------------------------------------------------------- what is where


def _holdings(session: Session, notice: Notice) -> list[Holding]:
    """Each chat's posts of the notice that no later revision took the place of."""
    rows = session.exec(
        select(Outbox, Content.payload, Chat, Channel.hands_over)
        .join(Chat, col(Chat.id) == Outbox.chat_id)
        .join(Channel, col(Channel.id) == Outbox.channel_id)
        .outerjoin(Content, col(Content.id) == Outbox.content_id)
        .where(Outbox.notice_id == notice.id, Outbox.action == Action.POST, col(Outbox.is_old).is_(False))
        .order_by(col(Outbox.chat_id), col(Outbox.part))
        # A sender moves these rows too: what is decided here must still be so when it is written.
        .with_for_update(of=Outbox)
        .execution_options(populate_existing=True)
    ).all()
    found: dict[int, Holding] = {}
    for row, payload, chat, hands_over in rows:
        held = found.setdefault(row.chat_id, Holding(chat, row.unit_id or 0, hands_over))
        held.parts.append(Part(row.id or 0, row.state, payload or "{}", row.message_id, row.sent_at))
    return list(found.values())


def _by_channel(holdings: Iterable[Holding]) -> dict[int, list[Holding]]:
    """Those that we post to ourselves."""
    found: dict[int, list[Holding]] = defaultdict(list)
    for held in holdings:
        if not held.by_hand:
            found[held.chat.channel_id].append(held)
    return found


class _Work:
    """What is done in the chats, counted for the audit log."""

    def __init__(self, session: Session, house: House, notice: Notice, now: datetime) -> None:
        self._session, self._house, self._notice, self._now = session, house, notice, now
        self._connection = session.connection()
        self._lane = Lane.URGENT if notice.is_urgent else Lane.NOTICE
        self._edited = self._posted = self._taken = self._given = 0

    def by_hand(self, holdings: Sequence[Holding]) -> None:
        """Whoever carried the old words, or has them in hand, gets the new ones."""
        self._supersede(holdings)
        chats = [held.chat for held in holdings if held.is_bound]
        if chats:
            kits.queue(self._session, self._house, self._notice, chats, lane=self._lane, now=self._now)
            self._given += len(chats)

    def reword(self, channel_id: int, holdings: Sequence[Holding], shown: Face) -> None:
        """Edit where the new words fit into the same posts, else post them below."""
        payloads = self._payloads(channel_id, shown)
        meant = [held for held in holdings if held.any_in(MEANT)]
        fitting = [held for held in meant if self._can(channel_id, Can.EDIT) and _fits(held.parts, payloads)]
        for part, payload in enumerate(payloads):
            changed = [held.parts[part].row_id for held in fitting if held.parts[part].payload != payload]
            if changed:
                outbox.reword(self._connection, changed, payload, now=self._now, lane=self._lane)
        self._edited += len(fitting)
        kept = {held.chat_id for held in fitting}
        self._post([held for held in meant if held.chat_id not in kept], payloads)

    def take_away(self, channel_id: int, holdings: Sequence[Holding], shown: Face) -> None:
        """Delete the posts where that can be, and say that they are void wherever one may be left."""
        said = []
        for held in holdings:
            if not held.any_in(THERE):
                continue
            can = self._can(channel_id, Can.DELETE) and all(
                part.sent_at is None or self._now - part.sent_at < TAKEN_AWAY_WITHIN for part in held.parts
            )
            if not can or held.any_in({State.UNKNOWN, State.SENDING}):
                said.append(held)
            if can:
                there = [part.row_id for part in held.parts if part.state in (State.SENT, State.SENDING)]
                outbox.put_delete(self._connection, there, now=self._now, lane=self._lane)
                self._taken += 1
        self._post(said, self._payloads(channel_id, shown, with_files=False))

    def _post(self, holdings: Sequence[Holding], payloads: Sequence[str]) -> None:
        self._supersede(holdings)
        replies = {held.chat_id: held.reply_to for held in holdings if held.is_bound}
        is_silent = not self._notice.is_urgent and quiet(self._house.local(self._now))
        outbox.put_revision(
            self._connection,
            self._notice,
            replies,
            payloads,
            lane=self._lane,
            now=self._now,
            is_silent=is_silent,
        )
        self._posted += len(replies)

    def _supersede(self, holdings: Sequence[Holding]) -> None:
        if holdings:
            chat_ids = [held.chat_id for held in holdings]
            outbox.supersede(self._connection, self._notice.id or 0, chat_ids, now=self._now)

    def _payloads(self, channel_id: int, shown: Face, *, with_files: bool = True) -> list[str]:
        uses = notices.uses_of(self._session, self._notice) if with_files else []
        return [
            to_payload(message)
            for message in notices.messages_for(self._session, self._house, channel_id, shown, uses, now=self._now)
        ]

    def _can(self, channel_id: int, power: Can) -> bool:
        messenger = self._house.messengers.get(channel_id)
        return messenger is not None and power in messenger.can

    def end(self, actor: Actor, action: str) -> None:
        """Count anew, show the figures on the new buttons, and write down who did it."""
        self._session.flush()
        self._session.expire_all()
        errands.stop(self._session, self._house, self._notice, now=self._now)
        notice_id = self._notice.id or 0
        targets = self._session.exec(select(NoticeTarget.unit_id).where(NoticeTarget.notice_id == notice_id)).all()
        reach.recount(self._connection, [(notice_id, unit_id) for unit_id in targets])
        for unit_id in targets:
            counting.show_soon(self._session, notice_id, unit_id, now=self._now)
        audit.note(
            self._session,
            at=self._now,
            person_id=actor.person_id,
            unit_id=self._notice.unit_id,
            action=action,
            subject=self._notice.code,
            detail=f"revision {self._notice.revision}: {self._edited} edited, {self._taken} taken away, "
            f"{self._posted} posted anew, {self._given} to be carried",
        )


def _fits(parts: Sequence[Part], payloads: Sequence[str]) -> bool:
    """As many posts as before, each with a file where there was one: words can be edited, files cannot."""
    if len(parts) != len(payloads):
        return False
    return all(
        (of_payload(part.payload).file is None) == (of_payload(payload).file is None)
        for part, payload in zip(parts, payloads, strict=True)
    )
