"""The outbox: one row is one platform call, and this module alone moves it from state to state.

The machine of ARCHITECTURE §5 is `TRANSITIONS`; `advance` and the batch updates below it are guarded by it. Every
function is one piece of a write transaction and works on the connection, because a broadcast runs through here. The
statements of the hot path are built once: building one costs more than running it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from store import reach
from store.tables import (
    Action,
    Channel,
    Chat,
    ChatKind,
    Content,
    Lane,
    Notice,
    NoticeTarget,
    Outbox,
    Standing,
    State,
)

outbox = Outbox.__table__  # type: ignore[attr-defined]
chat = Chat.__table__  # type: ignore[attr-defined]
channel = Channel.__table__  # type: ignore[attr-defined]
content = Content.__table__  # type: ignore[attr-defined]


class Step(StrEnum):
    CLAIM = "claim"
    GIVE_BACK = "give_back"
    START = "start"
    ACCEPTED = "accepted"
    HANDED = "handed"
    POSTPONED = "postponed"
    LOST = "lost"
    REFUSED = "refused"
    RESEND = "resend"
    GIVE_UP = "give_up"
    CANCEL = "cancel"
    EXPIRE = "expire"
    RECALL = "recall"
    RETRACT = "retract"


TRANSITIONS: Mapping[Step, tuple[frozenset[State], State]] = {
    Step.CLAIM: (frozenset({State.QUEUED}), State.LEASED),
    Step.GIVE_BACK: (frozenset({State.LEASED}), State.QUEUED),
    Step.START: (frozenset({State.LEASED}), State.SENDING),
    Step.ACCEPTED: (frozenset({State.SENDING, State.UNKNOWN, State.HANDED}), State.SENT),
    Step.HANDED: (frozenset({State.SENDING}), State.HANDED),
    Step.POSTPONED: (frozenset({State.SENDING}), State.QUEUED),
    Step.LOST: (frozenset({State.SENDING}), State.UNKNOWN),
    Step.REFUSED: (frozenset({State.SENDING}), State.FAILED),
    Step.RESEND: (frozenset({State.FAILED, State.UNKNOWN}), State.QUEUED),
    Step.GIVE_UP: (frozenset({State.UNKNOWN}), State.FAILED),
    Step.CANCEL: (frozenset({State.QUEUED, State.HANDED}), State.CANCELLED),
    Step.EXPIRE: (frozenset({State.QUEUED, State.HANDED}), State.EXPIRED),
    Step.RECALL: (frozenset({State.SENT}), State.RECALLED),
    Step.RETRACT: (frozenset({State.SENT}), State.HANDED),
}


class Failure(StrEnum):
    """Why a row did not arrive, as the console says it in words (`bot.texts.FAILURES`)."""

    CHAT_GONE = "chat_gone"
    NO_RIGHT = "no_right"
    REJECTED = "rejected"
    NO_CARRIER = "no_carrier"
    NOT_SENT = "not_sent"
    THROTTLED = "throttled"
    NO_ANSWER = "no_answer"
    CRASHED = "crashed"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed row with everything that a sender needs."""

    id: int
    chat_id: int
    chat_kind: ChatKind
    sealed_address: bytes
    lane: Lane
    action: Action
    key: str
    revision: int
    part: int
    content_id: int | None
    payload: str
    target_id: int | None
    target_message: str | None
    reply_to: str | None
    is_silent: bool
    is_repeat: bool
    attempts: int
    """Begun before this one."""
    notice_id: int | None
    members_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a send, and what it tells about the chat."""

    id: int
    chat_id: int
    step: Step
    message_id: str | None = None
    members: int | None = None
    error: Failure | None = None
    detail: str = ""
    """The messenger's own words."""
    wait: timedelta | None = None
    """POSTPONED: no new try before this has passed."""
    attempt_counts: bool = True
    standing: Standing | None = None
    """How we stand in the chat, when the send taught us that."""
    pause_chat: bool = False
    """Nothing else goes to the chat before `wait` has passed either."""
    recalls: int | None = None
    """The post that this send took away."""


# ---------------------------------------------------------------- putting rows in


def put_content(connection: Connection, payload: str) -> int:
    """Keep what a message says; returns its id."""
    content_id: int = connection.execute(insert(content).values(payload=payload).returning(content.c.id)).scalar_one()
    return content_id


def post(
    connection: Connection,
    *,
    chat_id: int,
    key: str,
    payloads: Sequence[str],
    lane: Lane,
    now: datetime,
    notice_id: int | None = None,
    reply_to: str | None = None,
    not_before: datetime | None = None,
    is_silent: bool = False,
) -> None:
    """Queue one message of `len(payloads)` parts for one chat. The same `key` again changes nothing.

    What has not left after LIFE is not sent any more: an answer that comes days late only confuses.
    """
    known = select(outbox.c.id).where(outbox.c.key == key, outbox.c.chat_id == chat_id, outbox.c.revision == 1)
    if connection.execute(known.limit(1)).first() is not None:
        return
    channel_id = connection.execute(select(chat.c.channel_id).where(chat.c.id == chat_id)).scalar_one()
    for part, payload in enumerate(payloads, start=1):
        connection.execute(
            insert(outbox).values(
                channel_id=channel_id,
                chat_id=chat_id,
                notice_id=notice_id,
                action=Action.POST,
                lane=lane,
                key=key,
                part=part,
                parts=len(payloads),
                content_id=put_content(connection, payload),
                reply_to=reply_to if part == 1 else None,
                not_before=not_before,
                expires_at=max(now, not_before or now) + LIFE,
                is_silent=is_silent,
                created_at=now,
                **FRESH,
            )
        )


LIFE = timedelta(hours=24)
"""Of what is no notice: replies, questions to staff, edits."""

FRESH: dict[str, Any] = {
    "state": State.QUEUED,
    "attempts": 0,
    "lease_epoch": 0,
    "is_repeat": False,
    "is_old": False,
    "error": "",
    "error_detail": "",
}


def fan_out(
    connection: Connection,
    notice: Notice,
    *,
    channel_ids: Sequence[int],
    payloads: Sequence[str],
    lane: Lane,
    now: datetime,
    is_silent: bool,
) -> None:
    """Queue `payloads` for every bound group of the notice's villages (or audience there) on `channel_ids`.

    A group that we know to be gone gets a row that has failed already: it was meant, and was not reached.
    """
    target = NoticeTarget.__table__  # type: ignore[attr-defined]
    audience = chat.c.audience_id.is_(None) if notice.audience_id is None else chat.c.audience_id == notice.audience_id
    gone = chat.c.standing == Standing.GONE
    for part, payload in enumerate(payloads, start=1):
        values: dict[str, Any] = {
            "channel_id": chat.c.channel_id,
            "chat_id": chat.c.id,
            "unit_id": chat.c.unit_id,
            "notice_id": literal(notice.id, outbox.c.notice_id.type),
            "action": literal(Action.POST, outbox.c.action.type),
            "lane": literal(int(lane)),
            "key": literal(f"notice:{notice.id}"),
            "revision": literal(notice.revision),
            "part": literal(part),
            "parts": literal(len(payloads)),
            "content_id": literal(put_content(connection, payload)),
            "is_silent": literal(is_silent),
            "is_repeat": literal(False),
            "is_old": literal(False),
            "state": case((gone, State.FAILED.value), else_=State.QUEUED.value),
            "attempts": literal(0),
            "lease_epoch": literal(0),
            "error": case((gone, Failure.CHAT_GONE.value), else_=""),
            "error_detail": literal(""),
            "expires_at": literal(notice.expires_at, outbox.c.expires_at.type) if notice.expires_at else null(),
            "created_at": literal(now, outbox.c.created_at.type),
        }
        rows = (
            select(*(value.label(name) for name, value in values.items()))
            .select_from(chat.join(target, and_(target.c.unit_id == chat.c.unit_id, target.c.notice_id == notice.id)))
            .where(chat.c.kind == ChatKind.GROUP, chat.c.channel_id.in_(channel_ids), audience)
            .order_by(chat.c.id)
        )
        connection.execute(_insert(connection, outbox).from_select(list(values), rows).on_conflict_do_nothing())


def fan_out_by_hand(
    connection: Connection, notice: Notice, payloads: Mapping[int, str], *, lane: Lane, now: datetime
) -> None:
    """Queue one row for each chat (by id) that a person carries to: each village has words of its own, by its link."""
    if not payloads:
        return
    chats = connection.execute(select(chat.c.id, chat.c.channel_id, chat.c.unit_id).where(chat.c.id.in_(payloads)))
    rows = [
        {
            "channel_id": row.channel_id,
            "chat_id": row.id,
            "unit_id": row.unit_id,
            "notice_id": notice.id,
            "action": Action.POST,
            "lane": int(lane),
            "key": f"notice:{notice.id}",
            "revision": notice.revision,
            "part": 1,
            "parts": 1,
            "content_id": put_content(connection, payloads[row.id]),
            "is_silent": False,
            "expires_at": notice.expires_at,
            "created_at": now,
            **FRESH,
        }
        for row in chats.all()
    ]
    connection.execute(_insert(connection, outbox).on_conflict_do_nothing(), rows)


def supersede(connection: Connection, notice_id: int, chat_ids: Sequence[int], *, now: datetime) -> list[int]:
    """A newer revision goes to these chats: what they hold is old, what they were to get is dropped.

    What is under way just now is not sent again, should it come back. Returns the chats that hold the old words, or
    may.
    """
    mine = (outbox.c.notice_id == notice_id, outbox.c.chat_id.in_(list(chat_ids)), outbox.c.action == Action.POST)
    _move(connection, Step.GIVE_BACK, *mine)
    _move(connection, Step.CANCEL, *mine)
    connection.execute(update(outbox).where(*mine).values(is_old=True, expires_at=now))
    held = select(outbox.c.chat_id).where(*mine, outbox.c.state.in_([State.SENT, State.SENDING, State.UNKNOWN]))
    return list(connection.execute(held.distinct()).scalars())


def put_edit(
    connection: Connection,
    target_id: int,
    payload: str,
    *,
    now: datetime,
    not_before: datetime | None = None,
    lane: Lane = Lane.COSMETIC,
) -> None:
    """Make a sent message say `payload`. Edits that wait are one: the newest words win, the earliest time holds.

    An edit has a life of its own: buttons are still pressed when their notice would not be sent any more.
    """
    life = max(now, not_before or now) + LIFE
    waiting = connection.execute(
        select(outbox.c.id, outbox.c.content_id, outbox.c.lane, outbox.c.not_before)
        .where(outbox.c.target_id == target_id, outbox.c.action == Action.EDIT, outbox.c.state == State.QUEUED)
        .with_for_update()  # else a sender may claim it with the old words while we write the new ones
    ).first()
    if waiting is not None:
        connection.execute(update(content).where(content.c.id == waiting.content_id).values(payload=payload))
        earliest = None if None in (waiting.not_before, not_before) else min(waiting.not_before, not_before)
        renewed = {"lane": min(lane, waiting.lane), "not_before": earliest, "expires_at": life}
        connection.execute(update(outbox).where(outbox.c.id == waiting.id).values(**renewed))
        return
    post_row = connection.execute(
        select(outbox.c.channel_id, outbox.c.chat_id).where(outbox.c.id == target_id)
    ).one_or_none()
    if post_row is None:  # so old that it was forgotten; its buttons are still there to be pressed
        return
    last = connection.execute(
        select(func.coalesce(func.max(outbox.c.revision), 0)).where(outbox.c.key == f"edit:{target_id}")
    ).scalar_one()
    connection.execute(
        insert(outbox).values(
            channel_id=post_row.channel_id,
            chat_id=post_row.chat_id,
            action=Action.EDIT,
            lane=lane,
            key=f"edit:{target_id}",
            revision=last + 1,
            part=1,
            parts=1,
            content_id=put_content(connection, payload),
            target_id=target_id,
            not_before=not_before,
            expires_at=life,
            created_at=now,
            is_silent=True,
            **FRESH,
        )
    )


def reword(connection: Connection, row_ids: Sequence[int], payload: str, *, now: datetime, lane: Lane) -> None:
    """These posts of a notice say `payload` from now on: what has not left goes out so, what is there is edited.

    What is being sent right now went with the old words: its edit waits until it is there.
    """
    mine = outbox.c.id.in_(list(row_ids))
    _move(connection, Step.GIVE_BACK, mine)
    connection.execute(update(outbox).where(mine).values(content_id=put_content(connection, payload)))
    there = select(outbox.c.id).where(mine, outbox.c.state.in_([State.SENT, State.SENDING, State.UNKNOWN]))
    for row_id in connection.execute(there.order_by(outbox.c.id)).scalars().all():
        put_edit(connection, row_id, payload, now=now, lane=lane)


def put_revision(
    connection: Connection,
    notice: Notice,
    replies: Mapping[int, str | None],
    payloads: Sequence[str],
    *,
    lane: Lane,
    now: datetime,
    is_silent: bool,
) -> None:
    """Post the notice's present revision to these chats (by id), each as a reply to that message of ours there."""
    if not replies:
        return
    contents = [put_content(connection, payload) for payload in payloads]
    bound = select(chat.c.id, chat.c.channel_id, chat.c.unit_id, chat.c.standing).where(chat.c.id.in_(list(replies)))
    rows = [
        {
            "channel_id": row.channel_id,
            "chat_id": row.id,
            "unit_id": row.unit_id,
            "notice_id": notice.id,
            "action": Action.POST,
            "lane": int(lane),
            "key": f"notice:{notice.id}",
            "revision": notice.revision,
            "part": part,
            "parts": len(contents),
            "content_id": content_id,
            "reply_to": replies[row.id] if part == 1 else None,
            "is_silent": is_silent,
            "expires_at": notice.expires_at,
            "created_at": now,
            **FRESH,
            **({"state": State.FAILED, "error": Failure.CHAT_GONE} if row.standing == Standing.GONE else {}),
        }
        for row in connection.execute(bound.order_by(chat.c.id)).all()
        for part, content_id in enumerate(contents, start=1)
    ]
    if rows:
        connection.execute(_insert(connection, outbox).on_conflict_do_nothing(), rows)


def put_delete(connection: Connection, target_ids: Sequence[int], *, now: datetime, lane: Lane) -> None:
    """Take these posts away again. One that is being sent right now is taken away once it is there.

    Their edits that wait are dropped, and what comes back unsent is not sent again.
    """
    if not target_ids:
        return
    targets = list(target_ids)
    _move(connection, Step.CANCEL, outbox.c.target_id.in_(targets), outbox.c.action == Action.EDIT)
    connection.execute(update(outbox).where(outbox.c.id.in_(targets)).values(expires_at=now))
    posts = select(outbox.c.id, outbox.c.channel_id, outbox.c.chat_id).where(outbox.c.id.in_(targets))
    rows = [
        {
            "channel_id": row.channel_id,
            "chat_id": row.chat_id,
            "action": Action.DELETE,
            "lane": int(lane),
            "key": f"delete:{row.id}",
            "revision": 1,
            "part": 1,
            "parts": 1,
            "target_id": row.id,
            "is_silent": True,
            "expires_at": now + LIFE,
            "created_at": now,
            **FRESH,
        }
        for row in connection.execute(posts.order_by(outbox.c.id)).all()
    ]
    connection.execute(_insert(connection, outbox).on_conflict_do_nothing(), rows)


# ---------------------------------------------------------------- the lease


def take_channel(
    connection: Connection, channel_id: int, *, owner: str, now: datetime, lease: timedelta, alone: bool
) -> int | None:
    """Become the one who drains the channel; returns the new epoch, None while somebody else does or it is broken.

    `alone`: we hold the lock of the database file, so no other owner lives and every lease is ours to take.
    """
    lapsed = or_(channel.c.lease_until.is_(None), channel.c.lease_until < now, channel.c.lease_owner == owner)
    taken = (
        update(channel)
        .where(channel.c.id == channel_id, channel.c.broken == "", true() if alone else lapsed)
        .values(lease_owner=owner, lease_epoch=channel.c.lease_epoch + 1, lease_until=now + lease)
    )
    epoch: int | None = connection.execute(taken.returning(channel.c.lease_epoch)).scalar_one_or_none()
    if epoch is not None:
        recover(connection, channel_id, epoch, now=now)
    return epoch


def renew(connection: Connection, channel_id: int, epoch: int, *, now: datetime, lease: timedelta) -> bool:
    """False: somebody took the channel over; stop."""
    kept = update(channel).where(channel.c.id == channel_id, channel.c.lease_epoch == epoch)
    return connection.execute(kept.values(lease_until=now + lease)).rowcount == 1


def holds(connection: Connection, channel_id: int, epoch: int) -> bool:
    """False: somebody took the channel over, or it is broken: stop. True holds to the end of the transaction."""
    return connection.execute(HOLDS, {"channel": channel_id, "epoch": epoch}).first() is not None


HOLDS = (
    select(channel.c.id)
    .where(channel.c.id == bindparam("channel"), channel.c.lease_epoch == bindparam("epoch"), channel.c.broken == "")
    .with_for_update(key_share=True)
)


def release(connection: Connection, channel_id: int, epoch: int) -> None:
    """Let go of the channel; rows that we hold but have not started go back."""
    _move(connection, Step.GIVE_BACK, OPEN, outbox.c.channel_id == channel_id, outbox.c.lease_epoch == epoch)
    connection.execute(
        update(channel)
        .where(channel.c.id == channel_id, channel.c.lease_epoch == epoch)
        .values(lease_until=None, lease_owner="")
    )


def recover(connection: Connection, channel_id: int, epoch: int, *, now: datetime) -> None:
    """Rows of earlier owners: what never started goes back, what was under way is `unknown` (nobody can tell).

    Where sending twice shows one message, what was under way goes back too.
    """
    old = (OPEN, outbox.c.channel_id == channel_id, outbox.c.lease_epoch < epoch)
    _move(connection, Step.GIVE_BACK, *old)
    repeats = exists().where(channel.c.id == outbox.c.channel_id, channel.c.repeats)
    _move(connection, Step.POSTPONED, *old, repeats)
    lost = _move(connection, Step.LOST, *old, error=Failure.CRASHED, error_detail="")
    _repeat_urgent(connection, lost, now=now)
    reach.recount_rows(connection, lost)


def pause_channel(connection: Connection, channel_id: int, epoch: int, *, until: datetime) -> None:
    """The messenger told the whole channel to wait."""
    held = update(channel).where(channel.c.id == channel_id, channel.c.lease_epoch == epoch)
    connection.execute(held.values(paused_until=until))


def break_channel(connection: Connection, channel_id: int, reason: str) -> None:
    """Nothing more is sent here until a person has mended it; rows that were not started go back."""
    connection.execute(
        update(channel)
        .where(channel.c.id == channel_id)
        .values(broken=(reason or "broken")[:300], lease_until=None, lease_owner="")
    )
    _move(connection, Step.GIVE_BACK, OPEN, outbox.c.channel_id == channel_id)


def waiting_channels(connection: Connection, *, now: datetime) -> list[int]:
    """Channels with something to do and nobody at it: a row that may go, or rows left open by an owner who is gone."""
    return list(connection.execute(WAITING, {"now": now}).scalars())


# ---------------------------------------------------------------- the drain


def claim(
    connection: Connection,
    channel_id: int,
    epoch: int,
    *,
    now: datetime,
    limit: int,
    lane: Lane = Lane.COSMETIC,
    overtake: bool = False,
) -> list[Work]:
    """Lease up to `limit` rows that may go now, urgent first, at most one a chat, none behind an unfinished part.

    `lane`: only this lane and those that overtake it. `overtake`: a row that is leased but not started does not hold
    its chat against a better lane; it goes back, so drop what is in hand for the chats that come back from here.
    """
    ready = CLAIM[connection.dialect.name, overtake]
    rows = connection.execute(ready, {"channel": channel_id, "lane": int(lane), "now": now, "most": limit}).all()
    first: dict[int, Work] = {}
    for row in rows:
        first.setdefault(row.chat_id, Work(*row))
    if not first:
        return []
    works = list(first.values())
    if overtake:
        held = (OPEN, outbox.c.channel_id == channel_id, outbox.c.chat_id.in_(list(first)))
        _move(connection, Step.GIVE_BACK, *held)
    moved = set(connection.execute(CLAIMED, {"ids": [work.id for work in works], "epoch": epoch}).scalars())
    return [work for work in works if work.id in moved]


def start(connection: Connection, ids: Sequence[int], epoch: int) -> set[int]:
    """Mark rows as being sent, before the network is touched; only those returned may be sent."""
    return set(connection.execute(STARTED, {"ids": list(ids), "epoch": epoch}).scalars()) if ids else set()


def give_back(connection: Connection, ids: Sequence[int], epoch: int, *, not_before: datetime | None = None) -> None:
    """Return claimed rows that were not started, to be claimed again (after `not_before`)."""
    if ids:
        mine = (outbox.c.id.in_(list(ids)), outbox.c.lease_epoch == epoch)
        _move(connection, Step.GIVE_BACK, *mine, not_before=not_before)


def record(connection: Connection, outcomes: Sequence[Outcome], epoch: int, *, now: datetime) -> None:
    """Write down what became of sends, what they tell about their chats, and the figures that follow."""
    sent = [
        {"row": o.id, "epoch": epoch, "message": o.message_id, "at": now, "people": o.members}
        for o in outcomes
        if o.step in (Step.ACCEPTED, Step.HANDED)
    ]
    for step, statement in SENT.items():
        wanted = {o.id for o in outcomes if o.step is step}
        if wanted:
            connection.execute(statement, [row for row in sent if row["row"] in wanted])
    if sent:
        connection.execute(SPENT, {"rows": [row["row"] for row in sent]})
    other = [outcome for outcome in outcomes if outcome.step not in SENT]
    for outcome in other:
        _move(
            connection,
            outcome.step,
            outbox.c.id == outcome.id,
            outbox.c.lease_epoch == epoch,
            error=outcome.error or "",
            error_detail=outcome.detail[:300],
            not_before=None if outcome.wait is None else now + outcome.wait,
            attempts=outbox.c.attempts - (0 if outcome.attempt_counts else 1),
        )
        _learn(connection, outcome, now=now)
    _repeat_urgent(connection, [o.id for o in other if o.step is Step.LOST], now=now)
    recalled = [o.recalls for o in outcomes if o.recalls is not None and o.step is Step.ACCEPTED]
    if recalled:
        reach.recount_rows(connection, _move(connection, Step.RECALL, outbox.c.id.in_(recalled)))
    counted = [{"chat": o.chat_id, "people": o.members, "at": now} for o in outcomes if o.members is not None]
    if counted:
        connection.execute(COUNTED, counted)
    reach.recount_rows(connection, [o.id for o in outcomes if o.step is not Step.POSTPONED])


def _learn(connection: Connection, outcome: Outcome, *, now: datetime) -> None:
    """Keep what a send told about its chat."""
    learnt: dict[str, Any] = {}
    if outcome.standing is not None:
        learnt |= {"standing": outcome.standing, "standing_reason": outcome.detail[:200]}
    if outcome.pause_chat and outcome.wait is not None:
        learnt["paused_until"] = now + outcome.wait
    if learnt:
        connection.execute(update(chat).where(chat.c.id == outcome.chat_id).values(**learnt))


def _repeat_urgent(connection: Connection, lost: Sequence[int], *, now: datetime) -> None:
    """Send urgent posts of unknown outcome once more, marked as a repeat: a double warning costs less than none."""
    if lost:
        _move(
            connection,
            Step.RESEND,
            outbox.c.id.in_(list(lost)),
            outbox.c.lane == int(Lane.URGENT),
            outbox.c.action == Action.POST,
            outbox.c.is_repeat.is_(False),
            is_repeat=True,
            not_before=now + REPEAT_AFTER,
        )


REPEAT_AFTER = timedelta(seconds=5)
"""Whatever lost the first one is perhaps over by then."""


def next_due(connection: Connection, channel_id: int, *, now: datetime) -> datetime | None:
    """When the earliest row that must wait may go; None when none waits."""
    waits = connection.execute(
        select(outbox.c.not_before, chat.c.paused_until)
        .select_from(outbox.join(chat, chat.c.id == outbox.c.chat_id))
        .where(
            outbox.c.channel_id == channel_id,
            outbox.c.state == literal_state(State.QUEUED),
            or_(outbox.c.not_before > now, chat.c.paused_until > now),
        )
    )
    return min((max(at for at in row if at is not None) for row in waits), default=None)


# ---------------------------------------------------------------- single steps


def advance(connection: Connection, row_id: int, step: Step, **changes: Any) -> bool:
    """Take one step. False: somebody else, or a repeated webhook, was first, or it is not allowed from here."""
    moved = _move(connection, step, outbox.c.id == row_id, **changes)
    reach.recount_rows(connection, moved)
    return bool(moved)


def prove(connection: Connection, row_id: int, chat_id: int, message_id: str, *, now: datetime) -> None:
    """A press or reply came from this very message: it did arrive, whatever we knew of it."""
    seen = {"row": row_id, "chat": chat_id, "message": message_id, "at": now}
    reach.recount_rows(connection, list(connection.execute(PROVEN, seen).scalars()))


def expire(connection: Connection, *, now: datetime) -> int:
    """Give up what waited beyond its life; returns how many rows."""
    waits = outbox.c.state.in_([literal_state(state) for state in (State.HANDED, State.QUEUED)])  # names the index
    gone = _move(connection, Step.EXPIRE, waits, outbox.c.expires_at <= now)
    reach.recount_rows(connection, gone)
    return len(gone)


def cancel_stranded(connection: Connection) -> int:
    """Stop what waits for something that will not come; returns how many rows.

    That is the rest of a reply whose earlier part did not get there, and the edit of such a post. Parts of a notice
    wait on: a person decides about those.
    """
    post_row = outbox.alias("post_row")
    lost_post = exists().where(post_row.c.id == outbox.c.target_id, post_row.c.state.in_(LOST))
    lost_part = and_(outbox.c.part > 1, _earlier_part(lambda part: part.c.state.in_(LOST)))
    waits = (outbox.c.state == literal_state(State.QUEUED), outbox.c.notice_id.is_(None))
    return len(_move(connection, Step.CANCEL, *waits, or_(lost_post, lost_part)))


def forget_replies(connection: Connection, *, before: datetime, limit: int) -> int:
    """Drop what is over and was no notice's, edits included, with its words; returns how many rows.

    The row of `content` stays, empty: whether others use it cannot be asked without reading the whole outbox.
    """
    newer = outbox.alias("newer")
    over = (
        outbox.c.notice_id.is_(None),
        outbox.c.created_at < before,
        outbox.c.state.not_in([State.QUEUED, State.LEASED, State.SENDING, State.HANDED]),
        ~exists().where(newer.c.target_id == outbox.c.id),
    )
    # Edits first: what they changed is then free to go.
    old = select(outbox.c.id).where(*over).order_by(outbox.c.target_id.is_(None), outbox.c.id).limit(limit)
    ids = list(connection.execute(old).scalars())
    if not ids:
        return 0
    gone = delete(outbox).where(outbox.c.id.in_(ids)).returning(outbox.c.content_id)
    words = [content_id for content_id in connection.execute(gone).scalars() if content_id is not None]
    connection.execute(update(content).where(content.c.id.in_(words)).values(payload="{}"))
    return len(ids)


LOST = (State.FAILED, State.UNKNOWN, State.EXPIRED, State.CANCELLED, State.RECALLED)
""""Unknown" too: nobody resends a reply, and a press that proves a post to be there edits it anew."""


def lapse(connection: Connection, *, now: datetime, notice_id: int | None = None, chat_id: int | None = None) -> None:
    """What is on its way to somebody who carries it, of this notice or to this chat, is not wanted any more.

    What is being handed over just now cannot be called back: it is over by the time at which it is handed, so that
    nobody is asked to carry it.
    """
    on_its_way = outbox.c.state.in_([literal_state(s) for s in (State.QUEUED, State.LEASED, State.SENDING)])
    by_hand = outbox.c.channel_id.in_(select(channel.c.id).where(channel.c.hands_over))
    mine = outbox.c.chat_id == chat_id if notice_id is None else outbox.c.notice_id == notice_id
    connection.execute(update(outbox).where(mine, on_its_way, by_hand).values(expires_at=now))


def cancel_notice(connection: Connection, notice_id: int) -> int:
    """Stop what has not left us, what is claimed included; returns how many rows."""
    _move(connection, Step.GIVE_BACK, outbox.c.notice_id == notice_id)
    stopped = _move(connection, Step.CANCEL, outbox.c.notice_id == notice_id)
    reach.recount_rows(connection, stopped)
    return len(stopped)


# ---------------------------------------------------------------- statements


def literal_state(state: State) -> Any:
    """The state written into the statement, not bound: only then can the planner see that a partial index fits."""
    return literal_column(f"'{state.value}'", outbox.c.state.type)


OPEN = outbox.c.state.in_([literal_state(State.LEASED), literal_state(State.SENDING)])
"""Exactly the condition of the index `ix_outbox_open`: SQLite wants it word for word."""

FRESH_START: dict[str, Any] = {"attempts": 0, "not_before": None, "error": "", "error_detail": ""}
ALWAYS: Mapping[Step, dict[str, Any]] = {
    Step.START: {"attempts": outbox.c.attempts + 1},
    Step.RESEND: FRESH_START,
}
"""What a step changes beside the state."""


def _step(step: Step, *where: Any, many: bool = False, **changes: Any) -> Any:
    """The guarded update behind every step. `many`: for an `executemany`, which takes no literals."""
    allowed, target = TRANSITIONS[step]
    if step is Step.RESEND:  # words that were taken back are not said again
        where = (*where, outbox.c.is_old.is_(False))
    states = [s if many else literal_state(s) for s in sorted(allowed)]
    guard = or_(*(outbox.c.state == s for s in states)) if many else outbox.c.state.in_(states)
    moved = update(outbox).where(guard, *where)
    return moved.values(state=target, **{**ALWAYS.get(step, {}), **changes})


def _move(connection: Connection, step: Step, *where: Any, **changes: Any) -> list[int]:
    """Take the step wherever it is allowed; returns the ids that moved."""
    return list(connection.execute(_step(step, *where, **changes).returning(outbox.c.id)).scalars())


def _mine() -> tuple[Any, Any]:
    return outbox.c.id.in_(bindparam("ids", expanding=True)), outbox.c.lease_epoch == bindparam("epoch")


CLAIMED = _step(
    Step.CLAIM, outbox.c.id.in_(bindparam("ids", expanding=True)), lease_epoch=bindparam("epoch")
).returning(outbox.c.id)
PROVEN = _step(
    Step.ACCEPTED,
    outbox.c.id == bindparam("row"),
    outbox.c.chat_id == bindparam("chat"),
    outbox.c.state == State.UNKNOWN,
    message_id=bindparam("message"),
    sent_at=bindparam("at"),
    error="",
    error_detail="",
).returning(outbox.c.id)
STARTED = _step(Step.START, *_mine()).returning(outbox.c.id)
SENT = {
    step: _step(
        step,
        outbox.c.id == bindparam("row"),
        outbox.c.lease_epoch == bindparam("epoch"),
        many=True,
        message_id=bindparam("message"),
        sent_at=bindparam("at"),
        members=func.coalesce(
            bindparam("people", type_=outbox.c.members.type),
            select(chat.c.members).where(chat.c.id == outbox.c.chat_id).scalar_subquery(),
        ),
        error="",
        error_detail="",
    )
    for step in (Step.ACCEPTED, Step.HANDED)
}
SPENT = (
    update(content)
    .where(
        content.c.id.in_(
            select(outbox.c.content_id).where(
                outbox.c.id.in_(bindparam("rows", expanding=True)), outbox.c.notice_id.is_(None)
            )
        )
    )
    .values(payload="{}")
)
"""What was said to one person is not kept once it is said: a head's list names houses, which lie sealed elsewhere."""
COUNTED = (
    update(chat).where(chat.c.id == bindparam("chat")).values(members=bindparam("people"), members_at=bindparam("at"))
)


def _in_time(now: Any) -> tuple[Any, Any]:
    return (
        or_(outbox.c.not_before.is_(None), outbox.c.not_before <= now),
        or_(outbox.c.expires_at.is_(None), outbox.c.expires_at > now),
    )


def _in_turn() -> Any:
    """No part before this one is unfinished."""
    return or_(outbox.c.part == 1, ~_earlier_part(lambda part: part.c.state != State.SENT))


def _earlier_part(condition: Callable[[Any], Any]) -> Any:
    part = outbox.alias("part")
    return exists().where(
        part.c.key == outbox.c.key,
        part.c.chat_id == outbox.c.chat_id,
        part.c.revision == outbox.c.revision,
        part.c.part < outbox.c.part,
        condition(part),
    )


def _ready(*, overtake: bool, skip_locked: bool) -> Any:
    busy, target = outbox.alias("busy"), outbox.alias("target")
    now, past = bindparam("now", type_=outbox.c.not_before.type), bindparam("now", type_=chat.c.paused_until.type)
    open_there = busy.c.state.in_([literal_state(State.LEASED), literal_state(State.SENDING)])
    holds_chat = or_(busy.c.state == literal_state(State.SENDING), busy.c.lane <= outbox.c.lane) if overtake else true()
    ready = (
        select(
            outbox.c.id,
            outbox.c.chat_id,
            chat.c.kind,
            chat.c.sealed_address,
            outbox.c.lane,
            outbox.c.action,
            outbox.c.key,
            outbox.c.revision,
            outbox.c.part,
            outbox.c.content_id,
            func.coalesce(content.c.payload, "{}"),
            outbox.c.target_id,
            target.c.message_id,
            outbox.c.reply_to,
            outbox.c.is_silent,
            outbox.c.is_repeat,
            outbox.c.attempts,
            outbox.c.notice_id,
            chat.c.members_at,
        )
        .select_from(
            outbox.join(chat, chat.c.id == outbox.c.chat_id)
            .outerjoin(content, content.c.id == outbox.c.content_id)
            .outerjoin(target, target.c.id == outbox.c.target_id)
        )
        .where(
            outbox.c.channel_id == bindparam("channel"),
            outbox.c.state == literal_state(State.QUEUED),
            outbox.c.lane <= bindparam("lane"),
            *_in_time(now),
            or_(chat.c.paused_until.is_(None), chat.c.paused_until <= past),
            ~exists().where(
                busy.c.channel_id == outbox.c.channel_id, busy.c.chat_id == outbox.c.chat_id, open_there, holds_chat
            ),
            _in_turn(),
            or_(outbox.c.target_id.is_(None), target.c.state == State.SENT),
        )
        .order_by(outbox.c.lane, outbox.c.id)
        .limit(bindparam("most"))
    )
    return ready.with_for_update(skip_locked=True, of=outbox) if skip_locked else ready


CLAIM = {
    (dialect, overtake): _ready(overtake=overtake, skip_locked=dialect == "postgresql")
    for dialect in ("sqlite", "postgresql")
    for overtake in (False, True)
}


def _insert(connection: Connection, table: Any) -> Any:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _waiting() -> Any:
    now = bindparam("now", type_=outbox.c.not_before.type)
    resting = exists().where(chat.c.id == outbox.c.chat_id, chat.c.paused_until > now)
    post_row = outbox.alias("post_row")
    is_sent = exists().where(post_row.c.id == outbox.c.target_id, post_row.c.state == State.SENT)
    due = exists().where(
        outbox.c.channel_id == channel.c.id,
        outbox.c.state == literal_state(State.QUEUED),
        *_in_time(now),
        _in_turn(),
        or_(outbox.c.target_id.is_(None), is_sent),
        ~resting,
    )
    left = and_(channel.c.lease_until < now, exists().where(outbox.c.channel_id == channel.c.id, OPEN))
    awake = (channel.c.broken == "", or_(channel.c.paused_until.is_(None), channel.c.paused_until <= now))
    return select(channel.c.id).where(*awake, or_(due, left)).order_by(channel.c.id)


WAITING = _waiting()
