"""How far a notice got: per village, in words that can be defended. Sent is not seen, seen is not acknowledged."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from sqlmodel import Session, col, delete, select

from bot import counting, texts
from bot.errors import Conflict, Invalid, NotFound
from bot.house import House
from bot.permissions import NOT_FOUND, Actor, Duty
from store import audit
from store import reach as figures
from store.tables import (
    Action,
    Answer,
    Channel,
    Chat,
    Errand,
    Grade,
    Holder,
    Household,
    Lane,
    Notice,
    NoticeRevision,
    NoticeState,
    NoticeTarget,
    Outbox,
    Person,
    Proof,
    Reach,
    Receipt,
    ReceiptKind,
    State,
    Unit,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A group that the notice did not surely reach."""

    row_id: int
    unit_id: int
    chat_title: str
    state: State
    error: str
    """`store.outbox.Failure`; `bot.texts.failure` says it in words."""
    detail: str
    """The messenger's own words."""
    was_given: bool = False
    """Somebody had it in hand."""

    @property
    def words(self) -> str:
        """Why, for people."""
        if self.was_given and self.state is State.EXPIRED:
            return texts.NOT_REPORTED
        return texts.failure(self.error) if self.error else texts.DELIVERY[self.state]


@dataclass(frozen=True, slots=True, kw_only=True)
class InHand:
    """A group that people carry to: with whom the notice is, or how it got there."""

    row_id: int
    unit_id: int
    group: str
    state: State
    holder: Holder | None
    """None: not handed to anybody yet."""
    name: str
    """Of the holder; '' when it is nobody's."""
    since: datetime | None
    done_at: datetime | None
    proof: Proof | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VillageReach:
    """One line of the table. None is "không đo được", never 0."""

    unit_id: int
    name: str
    chats: int
    sent: int
    handed: int
    by_hand: int
    """Of `chats`, groups that people carry to."""
    given: int
    """Of these, groups where somebody had it in hand."""
    carried: int
    """Of these, groups that it was carried into; among `sent` too."""
    failed: int
    unknown: int
    members: int | None
    seen: int | None
    opens: int | None
    """Browsers that opened the village's link: an estimate, never "read"."""
    households: int
    card: int
    number: int
    head: int
    visit: int
    unlinked: int
    join: int
    absent: int
    help: int
    median: timedelta | None
    carried_median: timedelta | None
    """From the carrier's having it to the group's having it."""
    told_count: int | None
    """People that the head counted; never added to households."""
    in_hand: tuple[InHand, ...]
    old_texts: tuple[str, ...]
    """Groups that still carry words which were corrected or taken back."""
    link_is_open: bool
    """The village has a link of this notice that opens."""
    problems: tuple[Problem, ...]

    @property
    def acknowledged(self) -> int:
        """Households that took note, each once, by its best evidence."""
        return self.card + self.number + self.head + self.visit

    @property
    def by_machine(self) -> tuple[int, int]:
        """(sent, all) of the groups that we write to ourselves."""
        return self.sent - self.carried, self.chats - self.by_hand

    @property
    def words(self) -> str:
        return texts.took_note(self.acknowledged, self.households, self.unlinked)


@dataclass(frozen=True, slots=True)
class NoticeReach:
    villages: tuple[VillageReach, ...]
    total: VillageReach

    @property
    def words(self) -> str:
        """The whole in one line."""
        total = self.total
        return texts.relay_line(
            villages=len(self.villages),
            machine=total.by_machine,
            by_hand=total.by_hand,
            given=total.given,
            carried=total.carried,
            median=total.carried_median,
            households=total.households,
            card=total.card,
            number_=total.number,
            head=total.head,
            visit=total.visit,
            unlinked=total.unlinked,
        )


@dataclass(frozen=True, slots=True)
class MissingHousehold:
    id: int
    number: int
    label: str
    """The head's own words for the house."""
    told_by: int | None
    """Number of the neighbour who passes notices on."""
    no_smartphone: bool


MOST_TOLD = 10_000
COUNTS = (
    "chats", "sent", "handed", "by_hand", "given", "carried", "failed", "unknown", "households", "card", "number",
    "head", "visit", "unlinked", "join", "absent", "help",
)  # fmt: skip


def of_notice(session: Session, notice: Notice, villages: Sequence[Unit]) -> NoticeReach:
    """The figures of these villages and their sum; from the kept counters, but for medians and problems."""
    unit_ids = [unit.id or 0 for unit in villages]
    rows = {
        row.unit_id: row
        for row in session.exec(
            select(Reach).where(Reach.notice_id == notice.id, col(Reach.unit_id).in_(unit_ids))
        ).all()
    }
    targets = {
        target.unit_id: target
        for target in session.exec(
            select(NoticeTarget).where(NoticeTarget.notice_id == notice.id, col(NoticeTarget.unit_id).in_(unit_ids))
        ).all()
    }
    waits = _waits(session, notice, unit_ids)
    problems = _problems(session, notice, unit_ids)
    in_hand = _in_hand(session, notice, unit_ids)
    old = _old_texts(session, notice, unit_ids)
    lines = tuple(
        _line(
            unit.name,
            targets.get(unit.id or 0) or NoticeTarget(notice_id=notice.id or 0, unit_id=unit.id or 0),
            rows.get(unit.id or 0),
            waits.get(unit.id or 0, []),
            problems.get(unit.id or 0, []),
            in_hand.get(unit.id or 0, []),
            old.get(unit.id or 0, []),
        )
        for unit in villages
    )
    return NoticeReach(lines, _total(lines, [wait for found in waits.values() for wait in found]))


def _line(
    name: str,
    target: NoticeTarget,
    row: Reach | None,
    waits: list[timedelta],
    problems: list[Problem],
    in_hand: list[InHand],
    old: list[str],
) -> VillageReach:
    return VillageReach(
        unit_id=target.unit_id,
        name=name,
        **{field: getattr(row, field) if row else 0 for field in COUNTS},
        members=row.members if row else None,
        seen=row.seen if row else None,
        opens=row.opens if row else None,
        median=_middle(waits),
        carried_median=_middle(_ways(in_hand)),
        told_count=target.told_count,
        in_hand=tuple(in_hand),
        old_texts=tuple(old),
        link_is_open=target.link_token is not None and target.link_revoked_at is None,
        problems=tuple(problems),
    )


def _total(lines: Sequence[VillageReach], waits: list[timedelta]) -> VillageReach:
    """The sum; what some village cannot tell is summed over those that can."""
    return VillageReach(
        unit_id=0,
        name="Cộng",
        **{field: sum(getattr(line, field) for line in lines) for field in COUNTS},
        members=_sum(line.members for line in lines),
        seen=_sum(line.seen for line in lines),
        opens=_sum(line.opens for line in lines),
        median=_middle(waits),
        carried_median=_middle([way for line in lines for way in _ways(line.in_hand)]),
        told_count=_sum(line.told_count for line in lines),
        in_hand=tuple(hand for line in lines for hand in line.in_hand),
        old_texts=tuple(title for line in lines for title in line.old_texts),
        link_is_open=any(line.link_is_open for line in lines),
        problems=tuple(problem for line in lines for problem in line.problems),
    )


def _ways(in_hand: Iterable[InHand]) -> list[timedelta]:
    """How long each group waited from the carrier's hand to its own screen."""
    return [hand.done_at - hand.since for hand in in_hand if hand.done_at is not None and hand.since is not None]


def _middle(waits: list[timedelta]) -> timedelta | None:
    return timedelta(seconds=median(wait.total_seconds() for wait in waits)) if waits else None


def _sum(values: Iterable[int | None]) -> int | None:
    told = [value for value in values if value is not None]
    return sum(told) if told else None


def _waits(session: Session, notice: Notice, unit_ids: Sequence[int]) -> dict[int, list[timedelta]]:
    """How long residents took, each household by its first answer; what others recorded has no time of its own."""
    if notice.published_at is None:
        return {}
    rows = session.exec(
        select(Receipt.unit_id, Receipt.household_id, Receipt.who, Receipt.first_at)
        .where(
            Receipt.notice_id == notice.id,
            Receipt.kind == ReceiptKind.ACKNOWLEDGED,
            col(Receipt.unit_id).in_(list(unit_ids)),
            col(Receipt.who).not_like("h:%"),
        )
        .order_by(col(Receipt.first_at).desc())
    ).all()
    first: dict[tuple[int, int | str], timedelta] = {}
    for unit_id, household_id, who, first_at in rows:
        first[unit_id or 0, household_id or who] = first_at - notice.published_at
    waits: dict[int, list[timedelta]] = {}
    for (unit_id, _), wait in first.items():
        waits.setdefault(unit_id, []).append(wait)
    return waits


def _problems(session: Session, notice: Notice, unit_ids: Sequence[int]) -> dict[int, list[Problem]]:
    troubled = (State.FAILED, State.UNKNOWN, State.EXPIRED, State.CANCELLED)
    rows = session.exec(
        select(Outbox, Chat.title)
        .join(Chat, col(Chat.id) == Outbox.chat_id)
        .where(
            Outbox.notice_id == notice.id,
            Outbox.action == Action.POST,
            col(Outbox.is_old).is_(False),
            col(Outbox.unit_id).in_(list(unit_ids)),
            col(Outbox.state).in_(troubled),
        )
        .order_by(col(Outbox.id))
    ).all()
    found: dict[int, list[Problem]] = {}
    for row, title in rows:
        problem = Problem(
            row_id=row.id or 0,
            unit_id=row.unit_id or 0,
            chat_title=title,
            state=row.state,
            error=row.error,
            detail=row.error_detail,
            was_given=row.sent_at is not None,
        )
        found.setdefault(problem.unit_id, []).append(problem)
    return found


def _in_hand(session: Session, notice: Notice, unit_ids: Sequence[int]) -> dict[int, list[InHand]]:
    rows = session.exec(
        select(Outbox, Chat.title, Errand, Person.name)
        .join(Chat, col(Chat.id) == Outbox.chat_id)
        .join(Channel, col(Channel.id) == Outbox.channel_id)
        .outerjoin(Errand, col(Errand.outbox_id) == Outbox.id)
        .outerjoin(Person, col(Person.id) == Errand.person_id)
        .where(
            Outbox.notice_id == notice.id,
            Outbox.action == Action.POST,
            col(Outbox.is_old).is_(False),
            col(Outbox.unit_id).in_(list(unit_ids)),
            col(Channel.hands_over),
        )
        .order_by(col(Outbox.id))
    ).all()
    found: dict[int, list[InHand]] = {}
    for row, title, errand, name in rows:
        hand = InHand(
            row_id=row.id or 0,
            unit_id=row.unit_id or 0,
            group=title,
            state=row.state,
            holder=errand.holder if errand else None,
            name=name or "",
            # The way of a group begins with the first hand; who has it now has had it since they got it.
            since=(errand.handed_at if errand.done_at else errand.given_at) if errand else None,
            done_at=errand.done_at if errand and row.state is State.SENT else None,
            proof=errand.proof if errand else None,
        )
        found.setdefault(hand.unit_id, []).append(hand)
    return found


def _old_texts(session: Session, notice: Notice, unit_ids: Sequence[int]) -> dict[int, list[str]]:
    """Titles of groups in which the old words stand and nothing says that they are old."""
    if notice.revision == 1:
        return {}
    posts = session.exec(
        select(Outbox, Chat.title)
        .join(Chat, col(Chat.id) == Outbox.chat_id)
        .where(Outbox.notice_id == notice.id, Outbox.action == Action.POST, col(Outbox.unit_id).in_(list(unit_ids)))
        .order_by(col(Outbox.id))
    ).all()
    unedited = _unedited(session, notice, [row.id or 0 for row, _ in posts])
    found: dict[int, list[str]] = {}
    for chat_id in dict.fromkeys(row.chat_id for row, _ in posts):
        mine = [row for row, _ in posts if row.chat_id == chat_id]
        latest = [row for row in mine if not row.is_old]
        is_new = bool(latest) and all(row.state is State.SENT and row.id not in unedited for row in latest)
        if is_new and notice.state is NoticeState.RECALLED:  # what is there must be the recall itself
            is_new = all(row.revision == notice.revision for row in latest)
        behind = [row for row in mine if row.is_old or _is_behind(row, notice, unedited)]
        if not is_new and any(row.state is State.SENT for row in behind):
            title = next(title for row, title in posts if row.chat_id == chat_id)
            found.setdefault(mine[0].unit_id or 0, []).append(title)
    return found


def _is_behind(row: Outbox, notice: Notice, unedited: set[int]) -> bool:
    """A post that no later one took the place of, and that does not say the latest words all the same."""
    return row.id in unedited or (notice.state is NoticeState.RECALLED and row.revision < notice.revision)


def _unedited(session: Session, notice: Notice, row_ids: Sequence[int]) -> set[int]:
    """Of these posts, those that were to be edited to the latest words and were not, as far as is known."""
    since = session.get_one(NoticeRevision, (notice.id, notice.revision)).created_at
    waiting, done = set(), set()
    for edit in session.exec(
        select(Outbox).where(col(Outbox.target_id).in_(list(row_ids)), Outbox.action == Action.EDIT)
    ).all():
        # Running figures are cosmetic, but whatever is written after a correction says the new words.
        is_correcting = edit.lane < Lane.COSMETIC
        is_after = edit.created_at >= since or is_correcting
        if edit.state is State.SENT and edit.sent_at is not None and edit.sent_at >= since and is_after:
            done.add(edit.target_id or 0)
        elif is_correcting and edit.state is not State.SENT:
            waiting.add(edit.target_id or 0)
    return waiting - done


# ---------------------------------------------------------------- who is still missing


def missing(session: Session, house: House, actor: Actor, notice: Notice, village: Unit) -> list[MissingHousehold]:
    """Households of the village without any evidence yet, with labels for the head alone.

    Raises NotFound for who neither keeps the register nor calls at houses.
    """
    with_labels = _grade_of(session, actor, notice, village) is Grade.HEAD
    took = select(Receipt.household_id).where(
        Receipt.notice_id == notice.id, Receipt.kind == ReceiptKind.ACKNOWLEDGED, col(Receipt.household_id).is_not(None)
    )
    rows = session.exec(
        select(Household)
        .where(Household.unit_id == village.id, col(Household.closed_at).is_(None), col(Household.id).not_in(took))
        .order_by(col(Household.number))
    ).all()
    numbers = {
        household.id: household.number
        for household in session.exec(select(Household).where(Household.unit_id == village.id))
    }
    return [
        MissingHousehold(
            household.id or 0,
            household.number,
            house.vault.open_text(household.sealed_label) if household.sealed_label and with_labels else "",
            numbers.get(household.told_by_id),
            household.no_smartphone,
        )
        for household in rows
    ]


def tick(
    session: Session, actor: Actor, notice: Notice, village: Unit, household_ids: Sequence[int], *, now: datetime
) -> list[int]:
    """These households were told in person: by the head, or on a helper's visit, each with a grade of its own.

    Returns the numbers newly recorded. Invalid for a foreign one, Conflict once the notice is over.
    """
    grade = _grade_of(session, actor, notice, village)
    _must_be_out(notice)
    recorded = []
    for household_id in dict.fromkeys(household_ids):
        household = session.get(Household, household_id)
        if household is None or household.unit_id != village.id:
            raise Invalid("Hộ này không có trong sổ của bản.", "households")
        who = f"h:{household_id}:{grade}"
        known = select(Receipt.id).where(
            Receipt.notice_id == notice.id, Receipt.kind == ReceiptKind.ACKNOWLEDGED, Receipt.who == who
        )
        if session.exec(known).first() is None:
            session.add(
                Receipt(
                    notice_id=notice.id or 0,
                    kind=ReceiptKind.ACKNOWLEDGED,
                    who=who,
                    household_id=household_id,
                    unit_id=village.id,
                    grade=grade,
                    answer=Answer.GOT_IT,
                    recorded_by_id=actor.person_id,
                    first_at=now,
                    at=now,
                )
            )
            recorded.append(household.number)
    if recorded:
        _settle(session, actor, notice, village, "households ticked", len(recorded), now=now)
    return recorded


def untick(
    session: Session, actor: Actor, notice: Notice, village: Unit, household_ids: Sequence[int], *, now: datetime
) -> int:
    """Take ticks of the actor's own grade back; what households confirmed themselves, or others recorded, stays."""
    grade = _grade_of(session, actor, notice, village)
    whose = [f"h:{household_id}:{grade}" for household_id in household_ids]
    taken = session.exec(
        delete(Receipt).where(
            col(Receipt.notice_id) == notice.id, col(Receipt.unit_id) == village.id, col(Receipt.who).in_(whose)
        )
    ).rowcount
    if taken:
        _settle(session, actor, notice, village, "households unticked", taken, now=now)
    return taken


def ticked(session: Session, actor: Actor, notice: Notice, village: Unit) -> list[Household]:
    """Households that were recorded with the actor's grade, by number: what `untick` can take back."""
    grade = _grade_of(session, actor, notice, village)
    recorded = (
        select(Household)
        .join(Receipt, col(Receipt.household_id) == Household.id)
        .where(
            Receipt.notice_id == notice.id,
            Receipt.unit_id == village.id,
            Receipt.kind == ReceiptKind.ACKNOWLEDGED,
            Receipt.grade == grade,
            col(Receipt.who).like("h:%"),  # an account's grade is its own
        )
    )
    return list(session.exec(recorded.order_by(col(Household.number))).all())


def tell_count(
    session: Session, actor: Actor, notice: Notice, village: Unit, count: int | None, *, now: datetime
) -> None:
    """Keep how many people the head counted as knowing; None takes it back. A bare number, added to nothing."""
    if _grade_of(session, actor, notice, village) is not Grade.HEAD:
        raise NotFound(NOT_FOUND)
    if count is not None:
        _must_be_out(notice)
    if count is not None and not 0 <= count <= MOST_TOLD:
        raise Invalid(f"Số người phải từ 0 đến {texts.number(MOST_TOLD)}.", "count")
    target = session.get_one(NoticeTarget, (notice.id, village.id))
    if target.told_count == count:
        return
    target.told_count, target.told_by_id, target.told_at = count, actor.person_id, now
    session.add(target)
    session.flush()
    audit.note(
        session,
        at=now,
        person_id=actor.person_id,
        unit_id=village.id,
        action="people counted",
        subject=notice.code,
        detail="taken back" if count is None else f"{count}",
    )


def _must_be_out(notice: Notice) -> None:
    """Nobody takes note of what was stopped or recalled; what was recorded before can still be taken back."""
    if notice.state is not NoticeState.PUBLISHED:
        raise Conflict(texts.RECORD_OVER)


def _settle(
    session: Session, actor: Actor, notice: Notice, village: Unit, action: str, count: int, *, now: datetime
) -> None:
    session.flush()
    figures.recount(session.connection(), [(notice.id or 0, village.id or 0)])
    counting.show_soon(session, notice.id or 0, village.id or 0, now=now)
    audit.note(
        session,
        at=now,
        person_id=actor.person_id,
        unit_id=village.id,
        action=action,
        subject=notice.code,
        detail=f"{count}",
    )


def _grade_of(session: Session, actor: Actor, notice: Notice, village: Unit) -> Grade:
    """How good the actor's word about this village's households is. Raises NotFound for who has none."""
    duties = {Duty.REGISTER: Grade.HEAD, Duty.VISIT: Grade.VISIT}
    grade = next((grade for duty, grade in duties.items() if actor.may(duty, village)), None)
    if grade is None or notice.published_at is None or session.get(NoticeTarget, (notice.id, village.id)) is None:
        raise NotFound(NOT_FOUND)
    return grade
