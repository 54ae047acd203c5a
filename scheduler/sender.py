"""Sends what waits in the outbox of one channel: "drain channel X", the unit of work of ARCHITECTURE §5.

A drain goes in turns. One turn is one transaction: it records what has finished, marks the next rows as being sent and
claims more. Then the calls go out beside each other, with no transaction open. Whoever holds the channel's lease drains
it; what an owner left behind when it died is put right by the next one (`store.outbox.recover`).
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from adapters.contract import (
    Adapter,
    AdapterBroken,
    Can,
    ChatMoved,
    ChatRef,
    CountsMembers,
    NotSent,
    OutcomeUnknown,
    SendFailure,
    Throttled,
)
from adapters.contract import ChatKind as ChatKindThere
from scheduler import outgoing
from scheduler.files import PATIENCE, FileBytes, Uploads
from scheduler.limiter import Limiter
from scheduler.line import Line, Pace
from scheduler.turn import Move, Plan, Terms, Turn, take_turn
from store.crypto import Vault
from store.outbox import Outcome, Work
from store.store import Store
from store.tables import Action, ChatKind, Lane

logger = logging.getLogger(__name__)

CLAIM = 64
"""Rows claimed at once: two seconds of Telegram's rate."""
FEW = 16
"""Claim more when fewer are in hand."""
LONG_WAIT = 2.0
"""Seconds after which a row whose chat must wait is given back rather than kept in hand."""
SHORTEST_GAP, LONGEST_GAP = 0.002, 0.008
"""Seconds between turns. As long as the last turn took: a busy store gets fewer and larger ones."""
COUNT_AGAIN = timedelta(hours=20)
"""Members of a group are counted at most so often."""
COUNT_WAIT = 2.0
"""Seconds for which a send that is over waits for the count beside it."""
AFTER_FAULT = 1.0


@dataclass(slots=True, eq=False)
class Flight:
    """A call that is under way."""

    work: Work
    epoch: int
    started: float
    """When it was let go; it begins in a moment."""
    began: float
    is_counted: bool
    """The group's members are counted beside it."""


class Drain:
    """One channel's sender. Lives from `run` to `stop`."""

    def __init__(
        self,
        adapter: Adapter,
        terms: Terms,
        store: Store,
        vault: Vault,
        contents: FileBytes,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._adapter = adapter
        self._terms = terms
        self._store = store
        self._vault = vault
        self._chance = chance
        self._third = terms.lease.total_seconds() / 3
        self._may_repeat = Can.SAFE_TO_REPEAT in adapter.can
        self._limiter = Limiter(adapter.limits)
        self._line = Line()
        self._pace = Pace()
        self._uploads = Uploads(terms.channel_id, store, contents)

        self._epoch: int | None = None
        self._renew_at = 0.0
        self._hand: list[Work] = []
        """Claimed, not started; best first, one a chat."""
        self._flying: dict[int, Flight] = {}
        self._done: list[tuple[int, Outcome]] = []
        self._moves: list[Move] = []
        self._pause: timedelta | None = None
        self._broken: str | None = None

        self._more = True
        """There may be something to claim."""
        self._look_past = False
        """Something came in that may overtake what is in hand."""
        self._due_at = math.inf
        self._busy_at = -math.inf
        self._unsure = False
        """Nobody knows whether the last turn was written: record what flies, then begin anew."""
        self._is_broken = self._stopping = False
        self._next_turn = 0.0
        self._turn_took = SHORTEST_GAP
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ from outside

    def nudge(self) -> None:
        """There may be something to send."""
        self._more = self._look_past = True
        self._wake.set()

    def stop(self) -> None:
        """Start nothing more; `run` ends when what is under way has ended and is recorded."""
        self._stopping = True
        self._wake.set()

    @property
    def is_broken(self) -> bool:
        return self._is_broken

    async def run(self) -> None:
        """Send until stopped, or until the messenger refuses us altogether. Other faults are logged and outlived."""
        try:
            while not self._is_over():
                plan = self._plan(self._now())
                if plan is None:
                    await self._sleep()
                    continue
                try:
                    await self._take_turn(plan)
                except Exception:  # this loop must survive: a full disk or a lost database mends itself or is mended
                    logger.exception("a turn of the sender failed", extra={"channel": self._terms.channel_id})
                    self._unsure = True
                    self._forget_uploads(plan.start)
                    await asyncio.sleep(AFTER_FAULT)
        finally:
            for task in self._tasks:
                task.cancel()

    def _is_over(self) -> bool:
        ending = self._stopping or self._is_broken
        return ending and self._epoch is None and not (self._flying or self._done or self._unsure)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # ------------------------------------------------------------ planning a turn

    def _plan(self, now: float) -> Plan | None:
        """What to write now; None when there is nothing, or a moment brings more."""
        if self._flying and (now < self._next_turn or self._unsure):
            return None
        if self._unsure and self._epoch is None and not self._done:
            self._unsure, self._more = False, True
        plan = Plan(self._epoch, pause=self._pause, done=self._done.copy(), moves=self._moves.copy())
        plan.files = self._uploads.rows()
        plan.broken = None if self._is_broken else self._broken
        ending = self._stopping or self._is_broken or self._unsure or plan.broken is not None
        if ending:
            self._hand.clear()
            plan.release = self._epoch is not None and not self._flying
        elif self._epoch is None:
            plan.takes = self._more
            self._plan_claim(plan)
        else:
            plan.renew = now >= self._renew_at
            self._plan_sends(plan, now)
            self._plan_claim(plan)
            plan.release = self._is_idle(plan) and now - self._busy_at > self._third
        return None if plan.is_empty() else plan

    def _plan_sends(self, plan: Plan, now: float) -> None:
        """What may start now, and what goes back because its chat must wait long."""
        self._pace.recover(now)
        self._limiter.slow(self._pace.share)
        room = self._room(now)
        horizon = now + self._turn_took  # the turn itself takes as long
        long_wait = max(now, self._limiter.channel_ready_at()) + LONG_WAIT
        rest: list[Work] = []
        for place, work in enumerate(self._hand):
            if len(plan.start) >= room:
                rest += self._hand[place:]
                break
            at = self._limiter.ready_at(work.chat_id, is_group=work.chat_kind is ChatKind.GROUP)
            if at > long_wait:
                plan.give_back.append((work.id, at - now))
            elif at <= horizon and self._may_upload(work):
                plan.start.append(work)
            else:
                rest.append(work)
        self._hand = rest

    def _plan_claim(self, plan: Plan) -> None:
        """How much to claim. Sends that ended free their chats, so there may be more than was found the last time."""
        if len(self._hand) < FEW and (self._more or (plan.done and self._epoch is not None)):
            plan.claim = CLAIM
            plan.ask_due = not (self._hand or self._flying or plan.start)
            self._more = self._look_past = False
        elif self._look_past and self._hand and self._hand[-1].lane > Lane.URGENT:
            plan.claim, plan.past = CLAIM, tuple(self._hand)
            self._look_past = False

    def _room(self, now: float) -> int:
        """How many calls may begin by the end of a turn."""
        if self._line.is_down:
            return int(not self._flying and now >= self._line.probe_at)
        free = self._adapter.limits.in_flight - len(self._flying)
        return min(free, self._limiter.room(now + self._turn_took))

    def _is_idle(self, plan: Plan) -> bool:
        return not (self._hand or self._flying or plan.start or plan.claim or self._more)

    # ------------------------------------------------------------ taking it

    async def _take_turn(self, plan: Plan) -> None:
        before = self._now()
        turn = await self._store.write_core(take_turn, self._terms, plan)
        now = self._now()
        self._turn_took = min(max(now - before, SHORTEST_GAP), LONGEST_GAP)
        self._next_turn = now + self._turn_took

        del self._done[: len(plan.done)]
        del self._moves[: len(plan.moves)]
        self._uploads.kept(plan.files)
        if self._pause is plan.pause:
            self._pause = None
        if plan.broken is not None:
            self._is_broken = True
        if turn.epoch is None:
            self._without_lease(plan)
            return
        if plan.epoch is None or plan.renew:
            self._renew_at = now + self._third
        self._epoch = turn.epoch
        self._limiter.pause(now + turn.paused_for)
        if turn.took_over:
            self._limiter.take_over(now)
        for work in plan.start:
            if work.id in turn.started:
                self._launch(work, now, is_counted=self._should_count(work, turn.at))
        self._forget_uploads([work for work in plan.start if work.id not in turn.started])
        if plan.claim:
            self._put_in_hand(plan, turn)
        if plan.ask_due:
            self._due_at = math.inf if turn.due_in is None else now + turn.due_in
        if self._hand or self._flying or plan.done or plan.takes:
            self._busy_at = now

    def _put_in_hand(self, plan: Plan, turn: Turn) -> None:
        if len(turn.claimed) == plan.claim:
            self._more = True
        if not turn.claimed:
            return
        chats_ = {work.chat_id for work in turn.claimed}
        kept = [work for work in self._hand if work.chat_id not in chats_ and work.id not in turn.put_back]
        self._hand = sorted(kept + turn.claimed, key=lambda work: (work.lane, work.id))

    def _without_lease(self, plan: Plan) -> None:
        """We let go of the channel, or somebody else drains it, or it is broken."""
        if plan.epoch is not None and not plan.release and plan.broken is None:
            logger.warning("the lease of a channel was lost", extra={"channel": self._terms.channel_id})
        self._forget_uploads(plan.start)
        self._hand.clear()
        self._epoch = None
        if self._unsure:
            self._unsure, self._more = False, True

    # ------------------------------------------------------------ calls

    def _launch(self, work: Work, now: float, *, is_counted: bool) -> None:
        is_group = work.chat_kind is ChatKind.GROUP
        at = max(now, self._limiter.ready_at(work.chat_id, is_group=is_group))
        self._limiter.started(work.chat_id, is_group=is_group)
        flight = Flight(work, self._epoch or 0, at, at, is_counted)
        self._flying[work.id] = flight
        task = asyncio.create_task(self._fly(flight))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fly(self, flight: Flight) -> None:
        """One call, from its moment to its outcome."""
        work = flight.work
        if (early := flight.started - self._now()) > 0:
            await asyncio.sleep(early)
        flight.began = self._now()
        count = None
        try:
            chat = ChatRef(self._vault.open_text(work.sealed_address), ChatKindThere(work.chat_kind.value))
            if flight.is_counted and isinstance(self._adapter, CountsMembers):
                count = asyncio.create_task(_count(self._adapter, chat))
            sent = await outgoing.call(self._adapter, self._uploads, work, chat)
        except Exception as error:  # this loop must survive: whatever it was, the row gets an outcome
            if count is not None:
                count.cancel()
            self._end(flight)
            self._uploaded(work, None)
            self._settle(flight, self._failure(flight, error))
            return
        now = self._end(flight)
        self._line.good(now)
        self._uploaded(work, sent.file_ref if sent else "")
        outcome = Outcome(
            id=work.id,
            chat_id=work.chat_id,
            step=outgoing.taken(self._adapter, work),
            message_id=sent.message_id if sent else None,
            members=await counted(count) if count else None,
            recalls=work.target_id if work.action is Action.DELETE else None,
        )
        self._settle(flight, outcome)

    def _end(self, flight: Flight) -> float:
        now = self._now()
        is_group = flight.work.chat_kind is ChatKind.GROUP
        self._limiter.finished(flight.work.chat_id, is_group=is_group, began=flight.began, now=now)
        return now

    def _settle(self, flight: Flight, outcome: Outcome) -> None:
        self._done.append((flight.epoch, outcome))
        del self._flying[flight.work.id]
        self._wake.set()

    def _failure(self, flight: Flight, error: Exception) -> Outcome:
        """What a failed call means for its row, for its chat, and for the channel."""
        work, now, chance = flight.work, self._now(), self._chance()
        counts = True
        match error:
            case Throttled():
                wait = self._pace.wait(error.retry_after, chance=chance)
                if self._pace.throttled(work.chat_id, now):
                    self._limiter.pause(now + wait.total_seconds())
                    self._pause = wait
                logger.info("throttled", extra={"channel": self._terms.channel_id, "seconds": wait.total_seconds()})
                return outgoing.throttled(work, error, wait)
            case NotSent():
                counts = self._line.last_good > flight.began
                self._line.not_reached(flight.started, now, chance=chance)
            case ChatMoved(new_id=new):
                key = self._vault.fingerprint("chat", str(self._terms.channel_id), new)
                self._moves.append((work.chat_id, key, self._vault.seal(new)))
            case AdapterBroken():
                self._broken = error.reason or "broken"
                logger.error("a channel is broken", extra={"channel": self._terms.channel_id})
            case OutcomeUnknown():
                self._line.lost(flight.started, now, chance=chance)
            case SendFailure():
                self._line.good(now)
            case _:
                self._line.lost(flight.started, now, chance=chance)
                logger.error(
                    "an adapter failed in a way it never should",
                    exc_info=error,
                    extra={"channel": self._terms.channel_id, "row": work.id},
                )
        may_repeat = self._may_repeat or work.action is not Action.POST
        return outgoing.failed(work, error, may_repeat=may_repeat, counts=counts, chance=chance)

    def _should_count(self, work: Work, at: datetime) -> bool:
        """Members are counted beside the post of a notice to a group whose last count is old. In rooms of our own
        counting asks nobody, so that the figure is that of the moment."""
        is_post = work.notice_id is not None and work.action is Action.POST and work.chat_kind is ChatKind.GROUP
        is_old = work.members_at is None or at - work.members_at >= COUNT_AGAIN or Can.HOSTS_ROOMS in self._adapter.can
        return is_post and is_old and Can.COUNT_MEMBERS in self._adapter.can

    # ------------------------------------------------------------ files

    def _may_upload(self, work: Work) -> bool:
        use = outgoing.file_of(work)
        if use is None:
            return True
        now = self._now()
        if self._uploads.must_wait(use, now):
            return False
        if self._uploads.begin(use, now):
            asyncio.get_running_loop().call_later(PATIENCE, self._wake.set)
        return True

    def _uploaded(self, work: Work, ref: str | None) -> None:
        if use := outgoing.file_of(work):
            self._uploads.end(use, ref)

    def _forget_uploads(self, works: Iterable[Work]) -> None:
        for work in works:
            self._uploaded(work, None)

    # ------------------------------------------------------------ waiting

    async def _sleep(self) -> None:
        """Until something happens or it is time for something."""
        loop = asyncio.get_running_loop()
        until = self._next_time(loop.time())
        timer = None if until == math.inf else loop.call_at(until, self._wake.set)
        await self._wake.wait()
        self._wake.clear()
        if timer is not None:
            timer.cancel()
        if loop.time() >= self._due_at:
            self._more, self._due_at = True, math.inf

    def _next_time(self, now: float) -> float:
        if self._flying and (self._done or self._hand) and now < self._next_turn:
            return self._next_turn
        until = self._due_at
        if self._epoch is not None:
            until = min(until, self._renew_at)
            if not (self._hand or self._flying):
                until = min(until, self._busy_at + self._third)
        if self._line.is_down:
            # While one send tries the line, its end wakes us.
            return until if self._flying or not self._hand else min(until, max(now, self._line.probe_at))
        if self._hand and len(self._flying) < self._adapter.limits.in_flight:
            ready = (
                self._limiter.ready_at(work.chat_id, is_group=work.chat_kind is ChatKind.GROUP) for work in self._hand
            )
            # What could have started by now waits for something else, whose end wakes us.
            until = min((at for at in ready if at > now + self._turn_took), default=until)
        return until


async def _count(adapter: CountsMembers, chat: ChatRef) -> int | None:
    try:
        return await adapter.count_members(chat)
    except SendFailure:
        return None
    except Exception:
        logger.exception("members could not be counted")
        return None


async def counted(count: asyncio.Task[int | None]) -> int | None:
    """The figure, if it comes soon: a send that is over does not wait long to be recorded."""
    done, _ = await asyncio.wait({count}, timeout=COUNT_WAIT)
    if not done:
        count.cancel()
        return None
    return count.result()
