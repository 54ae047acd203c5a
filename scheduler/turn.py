"""One turn of a drain: what it wants is a `Plan`, one transaction does it, what came of it is a `Turn`.

Plans and turns are values, so that the sender decides without a database and this does without deciding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from store import chats, outbox
from store.outbox import Outcome, Work
from store.tables import Channel, ChannelFile, Lane

LEASE = timedelta(seconds=30)

Clock = Callable[[Connection], datetime]
"""The time by which leases and waiting are judged: the database's, because several machines share it."""

channel_table = Channel.__table__  # type: ignore[attr-defined]
channel_file = ChannelFile.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a channel is held."""

    channel_id: int
    owner: str
    """Names this process."""
    alone: bool
    """No other process can drain channels of this database."""
    clock: Clock
    lease: timedelta = LEASE


Move = tuple[int, str, bytes]
"""A chat, and its new address as fingerprint and sealed."""


@dataclass(slots=True)
class Plan:
    """What the next turn does."""

    epoch: int | None
    takes: bool = False
    """Take the lease: there is something to do."""
    renew: bool = False
    done: list[tuple[int, Outcome]] = field(default_factory=list)
    """With the epoch in which it was begun."""
    moves: list[Move] = field(default_factory=list)
    files: list[dict[str, object]] = field(default_factory=list)
    start: list[Work] = field(default_factory=list)
    give_back: list[tuple[int, float]] = field(default_factory=list)
    """Row, and seconds that it must wait."""
    claim: int = 0
    past: Sequence[Work] = ()
    """What lies in hand, when only what overtakes it is claimed."""
    ask_due: bool = False
    pause: timedelta | None = None
    broken: str | None = None
    release: bool = False

    def is_empty(self) -> bool:
        return not (
            self.takes
            or self.renew
            or self.done
            or self.start
            or self.give_back
            or self.claim
            or self.pause
            or self.broken is not None
            or self.release
        )


@dataclass(slots=True)
class Turn:
    """What the turn did."""

    at: datetime
    """By the clock of the terms."""
    epoch: int | None = None
    """None: the channel is not ours (any more)."""
    started: set[int] = field(default_factory=set)
    claimed: list[Work] = field(default_factory=list)
    put_back: set[int] = field(default_factory=set)
    due_in: float | None = None
    """Seconds until a row that waits may go."""
    paused_for: float = 0.0
    took_over: bool = False
    """The lease was somebody else's, who did not let go of it."""


def take_turn(connection: Connection, terms: Terms, plan: Plan) -> Turn:
    """One transaction of a drain. What was sent is recorded whoever holds the channel by now."""
    now = terms.clock(connection)
    turn = Turn(now)
    if plan.epoch is None:
        if plan.takes:
            _take(connection, terms, turn, now)
    elif plan.renew:
        held = outbox.renew(connection, terms.channel_id, plan.epoch, now=now, lease=terms.lease)
        turn.epoch = plan.epoch if held else None
    elif outbox.holds(connection, terms.channel_id, plan.epoch):
        turn.epoch = plan.epoch
    _record(connection, terms, plan, now)
    if plan.broken is not None:
        outbox.break_channel(connection, terms.channel_id, plan.broken)
        return Turn(now)
    if turn.epoch is None or plan.release:
        if turn.epoch is not None:
            outbox.release(connection, terms.channel_id, turn.epoch)
        return Turn(now)
    _move_on(connection, terms, plan, turn, turn.epoch, now)
    return turn


def _take(connection: Connection, terms: Terms, turn: Turn, now: datetime) -> None:
    before = connection.execute(BEFORE, {"channel": terms.channel_id}).one()
    turn.epoch = outbox.take_channel(
        connection, terms.channel_id, owner=terms.owner, now=now, lease=terms.lease, alone=terms.alone
    )
    turn.took_over = before.lease_owner not in ("", terms.owner)
    if before.paused_until is not None:
        turn.paused_for = (before.paused_until - now).total_seconds()


def _record(connection: Connection, terms: Terms, plan: Plan, now: datetime) -> None:
    for epoch, group in groupby(sorted(plan.done, key=itemgetter(0)), key=itemgetter(0)):
        outbox.record(connection, [outcome for _, outcome in group], epoch, now=now)
    for move in plan.moves:
        chats.moved(connection, *move)
    if plan.files:
        connection.execute(KEEP_FILE[connection.dialect.name], plan.files)
    if plan.pause is not None and plan.epoch is not None:
        outbox.pause_channel(connection, terms.channel_id, plan.epoch, until=now + plan.pause)


def _move_on(connection: Connection, terms: Terms, plan: Plan, turn: Turn, epoch: int, now: datetime) -> None:
    for row_id, wait in plan.give_back:
        outbox.give_back(connection, [row_id], epoch, not_before=now + timedelta(seconds=wait))
    turn.started = outbox.start(connection, [work.id for work in plan.start], epoch)
    if not plan.claim:
        return
    lane = Lane(plan.past[-1].lane - 1) if plan.past else Lane.COSMETIC
    turn.claimed = outbox.claim(
        connection, terms.channel_id, epoch, now=now, limit=plan.claim, lane=lane, overtake=bool(plan.past)
    )
    if plan.past and len(turn.claimed) == plan.claim:
        # Many overtake: what they leave behind would only fill the hand.
        worst = turn.claimed[-1].lane
        turn.put_back = {work.id for work in plan.past if work.lane > worst}
        outbox.give_back(connection, sorted(turn.put_back), epoch)
    if plan.ask_due and not turn.claimed:
        due = outbox.next_due(connection, terms.channel_id, now=now)
        turn.due_in = None if due is None else (due - now).total_seconds()


BEFORE = select(channel_table.c.paused_until, channel_table.c.lease_owner).where(
    channel_table.c.id == bindparam("channel")
)


def _keep_file(dialect: Any) -> Any:
    put = dialect.insert(channel_file)
    return put.on_conflict_do_update(index_elements=["channel_id", "file_id", "kind"], set_={"ref": put.excluded.ref})


KEEP_FILE = {"sqlite": _keep_file(sqlite), "postgresql": _keep_file(postgresql)}
