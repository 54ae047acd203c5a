"""How far a notice got: per village, in words that can be defended. Sent is not seen, seen is not acknowledged."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from sqlmodel import Session, col, delete, select

from bot import counting, texts
from bot.cells import harmless
from bot.errors import Invalid, NotFound
from bot.house import House
from bot.permissions import NOT_FOUND, Actor, Duty
from store import audit
from store import reach as figures
from store.tables import (
    Action,
    Answer,
    Chat,
    Grade,
    Household,
    Notice,
    NoticeTarget,
    Outbox,
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

    @property
    def words(self) -> str:
        """Why, for people."""
        return texts.failure(self.error) if self.error else texts.DELIVERY[self.state]


@dataclass(frozen=True, slots=True, kw_only=True)
class VillageReach:
    """One line of the table. None is "không đo được", never 0."""

    unit_id: int
    name: str
    chats: int
    sent: int
    handed: int
    failed: int
    unknown: int
    members: int | None
    seen: int | None
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
    problems: tuple[Problem, ...]

    @property
    def acknowledged(self) -> int:
        """Households that took note, each once, by its best evidence."""
        return self.card + self.number + self.head + self.visit

    @property
    def words(self) -> str:
        return texts.took_note(self.acknowledged, self.households, self.unlinked)


@dataclass(frozen=True, slots=True)
class NoticeReach:
    villages: tuple[VillageReach, ...]
    total: VillageReach


@dataclass(frozen=True, slots=True)
class MissingHousehold:
    id: int
    number: int
    label: str
    """The head's own words for the house."""
    told_by: int | None
    """Number of the neighbour who passes notices on."""
    no_smartphone: bool


COUNTS = (
    "chats", "sent", "handed", "failed", "unknown", "households", "card", "number", "head", "visit", "unlinked",
    "join", "absent", "help",
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
    waits = _waits(session, notice, unit_ids)
    problems = _problems(session, notice, unit_ids)
    lines = tuple(
        _line(
            unit.id or 0, unit.name, rows.get(unit.id or 0), waits.get(unit.id or 0, []), problems.get(unit.id or 0, [])
        )
        for unit in villages
    )
    return NoticeReach(lines, _total(lines, [wait for found in waits.values() for wait in found]))


def _line(unit_id: int, name: str, row: Reach | None, waits: list[timedelta], problems: list[Problem]) -> VillageReach:
    return VillageReach(
        unit_id=unit_id,
        name=name,
        **{field: getattr(row, field) if row else 0 for field in COUNTS},
        members=row.members if row else None,
        seen=row.seen if row else None,
        median=_middle(waits),
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
        median=_middle(waits),
        problems=tuple(problem for line in lines for problem in line.problems),
    )


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
        )
        found.setdefault(problem.unit_id, []).append(problem)
    return found


# ---------------------------------------------------------------- who is still missing


def missing(session: Session, house: House, actor: Actor, notice: Notice, village: Unit) -> list[MissingHousehold]:
    """Households of the village without any evidence yet. For the head alone: raises NotFound for anybody else."""
    _head_only(session, actor, notice, village)
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
            house.vault.open_text(household.sealed_label) if household.sealed_label else "",
            numbers.get(household.told_by_id),
            household.no_smartphone,
        )
        for household in rows
    ]


def tick(
    session: Session, actor: Actor, notice: Notice, village: Unit, household_ids: Sequence[int], *, now: datetime
) -> list[int]:
    """The head told these households in person; returns the numbers newly recorded. Invalid for a foreign one."""
    _head_only(session, actor, notice, village)
    recorded = []
    for household_id in dict.fromkeys(household_ids):
        household = session.get(Household, household_id)
        if household is None or household.unit_id != village.id:
            raise Invalid("Hộ này không có trong sổ của bản.", "households")
        who = f"h:{household_id}:{Grade.HEAD}"
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
                    grade=Grade.HEAD,
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
    """Take the head's own tick back; what households confirmed themselves stays."""
    _head_only(session, actor, notice, village)
    whose = [f"h:{household_id}:{Grade.HEAD}" for household_id in household_ids]
    taken = session.exec(
        delete(Receipt).where(
            col(Receipt.notice_id) == notice.id, col(Receipt.unit_id) == village.id, col(Receipt.who).in_(whose)
        )
    ).rowcount
    if taken:
        _settle(session, actor, notice, village, "households unticked", taken, now=now)
    return taken


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


def _head_only(session: Session, actor: Actor, notice: Notice, village: Unit) -> None:
    is_theirs = actor.may(Duty.REGISTER, village) and notice.published_at is not None
    if not is_theirs or session.get(NoticeTarget, (notice.id, village.id)) is None:
        raise NotFound(NOT_FOUND)


# ---------------------------------------------------------------- as a file

COLUMNS = (
    "Thôn, bản", "Nhóm cần gửi", "Đã gửi", "Giao chuyển tay", "Chưa gửi được", "Chưa rõ", "Người trong nhóm lúc gửi",
    "Đã xem", "Hộ trong sổ", "Hộ đã nắm", "Tự xác nhận", "Tự khai số hộ", "Trưởng bản ghi", "Tổ đến nhà ghi",
    "Tài khoản chưa gắn hộ",
    "Tham gia", "Vắng", "Cần giúp", "Trung vị thời gian nắm (phút)", "Lý do chưa gửi được",
)  # fmt: skip


def csv_rows(reach: NoticeReach) -> list[list[str]]:
    """The table as text, header first. A cell that a spreadsheet could take for a formula is disarmed."""
    return [list(COLUMNS), *([harmless(cell) for cell in _cells(line)] for line in (*reach.villages, reach.total))]


def _cells(line: VillageReach) -> list[str]:
    reasons = sorted({problem.words for problem in line.problems})
    counts = [line.chats, line.sent, line.handed, line.failed, line.unknown, line.members, line.seen]
    households = [line.households, line.acknowledged, line.card, line.number, line.head, line.visit]
    return [
        line.name,
        *(texts.NOT_MEASURABLE if count is None else str(count) for count in counts),
        *(str(count) if line.households else "không có sổ hộ" for count in households),
        *map(str, (line.unlinked, line.join, line.absent, line.help)),
        "" if line.median is None else f"{line.median.total_seconds() / 60:.1f}".replace(".", ","),
        "; ".join(reasons),
    ]
