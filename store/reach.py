"""The figures of a notice in a village, counted anew in each transaction that changes what they count.

Counting a pair (notice, village) anew reads a handful of chats and the village's receipts, so that the figures cannot
drift from the rows by a lost or doubled increment. Pages read the table `reach` and never count.

A broadcast comes through `recount_rows` with each batch of sends, so that one is a single statement for all its pairs.

Whoever counts holds the pairs' lines first (`_hold`): on PostgreSQL a statement sees what was committed when it began,
so that two who count beside each other would each miss the other's rows, and the later one would write that down.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, func, literal, or_, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from store.tables import (
    Action,
    Answer,
    Channel,
    Errand,
    Grade,
    Household,
    NoticeTarget,
    Outbox,
    Reach,
    Receipt,
    ReceiptKind,
    State,
)

outbox = Outbox.__table__  # type: ignore[attr-defined]
channel = Channel.__table__  # type: ignore[attr-defined]
errand = Errand.__table__  # type: ignore[attr-defined]
receipt = Receipt.__table__  # type: ignore[attr-defined]
household = Household.__table__  # type: ignore[attr-defined]
reach = Reach.__table__  # type: ignore[attr-defined]
target = NoticeTarget.__table__  # type: ignore[attr-defined]

BEST_FIRST = {grade: rank for rank, grade in enumerate(Grade)}
PAIR = ("notice_id", "unit_id")
ANSWERS = ("households", *(grade.value for grade in Grade), "unlinked", "join", "absent", "help")

Pair = tuple[int, int]
"""(notice id, village id)"""


def open_notice(connection: Connection, notice_id: int) -> None:
    """A line of figures for each village, deliveries counted: for a notice that is published or gets more villages."""
    lines = select(
        target.c.notice_id,
        target.c.unit_id,
        select(func.count())
        .where(household.c.unit_id == target.c.unit_id, household.c.closed_at.is_(None))
        .scalar_subquery(),
        *(literal(0) for _ in range(len(ANSWERS) - 1 + len(COUNTED) - len(MEASURED))),
    ).where(target.c.notice_id == notice_id)
    names = [*PAIR, *ANSWERS, *(name for name in COUNTED if name not in MEASURED)]
    lines = lines.order_by(target.c.notice_id, target.c.unit_id)
    connection.execute(_dialect(connection).insert(reach).from_select(names, lines).on_conflict_do_nothing())
    _hold(connection, HOLD_NOTICE, {"notice": notice_id})
    connection.execute(DELIVERIES_OF_NOTICE[connection.dialect.name], {"notice": notice_id})


def recount_rows(connection: Connection, outbox_ids: Sequence[int]) -> None:
    """Count the deliveries of what these outbox rows belong to."""
    if outbox_ids:
        _hold(connection, HOLD_ROWS, {"ids": list(outbox_ids)})
        connection.execute(DELIVERIES_OF_ROWS[connection.dialect.name], {"ids": list(outbox_ids)})


def recount_village(connection: Connection, unit_id: int) -> None:
    """Count anew every notice of a village: its register changed."""
    notices = select(reach.c.notice_id).where(reach.c.unit_id == unit_id)
    recount_answers(connection, [(notice_id, unit_id) for notice_id in connection.execute(notices).scalars()])


def recount(connection: Connection, pairs: Iterable[Pair]) -> None:
    """Write all figures of these pairs as the rows say them now."""
    wanted = sorted(set(pairs))
    recount_answers(connection, wanted)
    for notice_id, unit_id in wanted:
        connection.execute(DELIVERIES_OF_PAIR[connection.dialect.name], {"notice": notice_id, "unit": unit_id})


def recount_answers(connection: Connection, pairs: Iterable[Pair]) -> None:
    """Write what people answered, and what was seen. In order, so that two writers never wait crosswise."""
    wanted = sorted(set(pairs))
    _hold_pairs(connection, wanted)
    for notice_id, unit_id in wanted:
        figures = {"notice_id": notice_id, "unit_id": unit_id, **_answers(connection, notice_id, unit_id)}
        put = _dialect(connection).insert(reach).values(**ZERO, **figures)
        changed: dict[str, Any] = {name: put.excluded[name] for name in ANSWERS}
        # Measurable or not is decided by the deliveries; here only the number moves.
        changed["seen"] = case((reach.c.seen.is_not(None), _receipts(notice_id, unit_id, ReceiptKind.SEEN)))
        changed["opens"] = case((reach.c.opens.is_not(None), _receipts(notice_id, unit_id, ReceiptKind.OPENED)))
        connection.execute(put.on_conflict_do_update(index_elements=PAIR, set_=changed))


def _hold_pairs(connection: Connection, pairs: Sequence[Pair]) -> None:
    """The same for pairs that may have no line yet: they get one, for a line that is not there cannot be held."""
    if not pairs or connection.dialect.name != "postgresql":
        return
    lines = [{"notice_id": notice_id, "unit_id": unit_id, **NO_FIGURES} for notice_id, unit_id in pairs]
    connection.execute(postgresql.insert(reach).on_conflict_do_nothing(), lines)
    _hold(connection, _held(tuple_(reach.c.notice_id, reach.c.unit_id).in_(pairs)))


def _hold(connection: Connection, lines: Any, values: Any = None) -> None:
    """Keep others from counting these pairs until the commit. SQLite has one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(lines, values).all()


def _held(which: Any) -> Any:
    """In order, so that two who hold several never wait crosswise."""
    return select(reach.c.notice_id).where(which).order_by(reach.c.notice_id, reach.c.unit_id).with_for_update()


def _answers(connection: Connection, notice_id: int, unit_id: int) -> dict[str, int]:
    """Households by their best grade, who has none apart, erased accounts too; the latest answer of each."""
    rows = connection.execute(RECEIPTS, {"notice": notice_id, "unit": unit_id}).all()
    grades: dict[int, Grade] = {}
    latest: dict[tuple[str, int | str], Answer | None] = {}
    # What a house answered itself says more than that it was told: a tick never wipes out "Cần giúp".
    for row in sorted(rows, key=lambda row: not row.who.startswith("h:")):
        if row.household_id is None:
            latest["account", row.who] = row.answer
            continue
        latest["household", row.household_id] = row.answer
        grade = row.grade or Grade.NUMBER
        best = grades.setdefault(row.household_id, grade)
        if BEST_FIRST[grade] < BEST_FIRST[best]:
            grades[row.household_id] = grade
    by_grade, by_answer = Counter(grades.values()), Counter(latest.values())
    return {
        "households": connection.execute(REGISTER, {"unit": unit_id}).scalar_one(),
        **{grade.value: by_grade[grade] for grade in Grade},
        "unlinked": sum(kind == "account" for kind, _ in latest),
        "join": by_answer[Answer.JOIN],
        "absent": by_answer[Answer.ABSENT],
        "help": by_answer[Answer.HELP],
    }


REGISTER = select(func.count()).where(household.c.unit_id == bindparam("unit"), household.c.closed_at.is_(None))
RECEIPTS = (
    select(receipt.c.who, receipt.c.household_id, receipt.c.grade, receipt.c.answer)
    .where(
        receipt.c.notice_id == bindparam("notice"),
        receipt.c.unit_id == bindparam("unit"),
        receipt.c.kind == ReceiptKind.ACKNOWLEDGED,
    )
    .order_by(receipt.c.at, receipt.c.id)
)
MEASURED = ("members", "seen", "opens")
"""NULL where nothing tells."""
COUNTED = ("chats", "sent", "handed", "by_hand", "given", "carried", "failed", "unknown", *MEASURED)
ZERO: dict[str, Any] = dict.fromkeys((name for name in COUNTED if name not in MEASURED), 0)
NO_FIGURES: dict[str, Any] = dict.fromkeys(ANSWERS, 0) | ZERO

HOLD_NOTICE = _held(reach.c.notice_id == bindparam("notice"))
HOLD_ROWS = _held(
    tuple_(reach.c.notice_id, reach.c.unit_id).in_(
        select(outbox.c.notice_id, outbox.c.unit_id).where(outbox.c.id.in_(bindparam("ids", expanding=True)))
    )
)
"""Each row of a notice has its line since the notice was published (`open_notice`)."""


def _receipts(notice_id: Any, unit_id: Any, kind: ReceiptKind) -> Any:
    return (
        select(func.count())
        .where(receipt.c.notice_id == notice_id, receipt.c.unit_id == unit_id, receipt.c.kind == kind.value)
        .scalar_subquery()
    )


def _deliveries(dialect: Any, pairs: Any) -> Any:
    """Each group counts once, by its latest revision: as sent when all its parts are, else by the worst of them."""

    def parts(*states: State) -> Any:
        return func.sum(case((outbox.c.state.in_(states), 1), else_=0))

    def chats(condition: Any) -> Any:
        return func.sum(case((condition, 1), else_=0))

    group = (
        select(
            outbox.c.notice_id,
            outbox.c.unit_id,
            func.count().label("parts"),
            parts(State.SENT, State.RECALLED).label("sent"),
            parts(State.FAILED, State.EXPIRED, State.CANCELLED).label("failed"),
            parts(State.UNKNOWN).label("unknown"),
            parts(State.HANDED).label("handed"),
            func.max(outbox.c.members).label("members"),
            func.max(case((channel.c.tells_read, 1), else_=0)).label("tells_read"),
            func.max(case((channel.c.hands_over, 1), else_=0)).label("by_hand"),
            # Left to the commune at once, nobody had it in hand yet, though the row says handed.
            func.max(case((errand.c.reached_at.is_not(None), 1), else_=0)).label("reached"),
        )
        .select_from(
            pairs.join(outbox, and_(outbox.c.notice_id == pairs.c.notice_id, outbox.c.unit_id == pairs.c.unit_id))
            .join(channel, channel.c.id == outbox.c.channel_id)
            .outerjoin(errand, errand.c.outbox_id == outbox.c.id)
        )
        .where(outbox.c.action == Action.POST, outbox.c.is_old.is_(False))
        .group_by(outbox.c.notice_id, outbox.c.unit_id, outbox.c.chat_id)
        .subquery("by_chat")
    )
    figures = (
        select(
            group.c.notice_id,
            group.c.unit_id,
            *(literal(0) for _ in ANSWERS),
            func.count(),
            chats(group.c.sent == group.c.parts),
            chats(and_(group.c.handed > 0, group.c.failed == 0, group.c.unknown == 0)),
            chats(group.c.by_hand == 1),
            # Whatever became of it later; and what was carried, somebody had, if only by word from the commune.
            chats(and_(group.c.by_hand == 1, or_(group.c.reached == 1, group.c.sent == group.c.parts))),
            chats(and_(group.c.by_hand == 1, group.c.sent == group.c.parts)),
            chats(group.c.failed > 0),
            chats(and_(group.c.unknown > 0, group.c.failed == 0)),
            func.sum(group.c.members),
            case((func.max(group.c.tells_read) == 1, _receipts(group.c.notice_id, group.c.unit_id, ReceiptKind.SEEN))),
            case((func.max(group.c.by_hand) == 1, _receipts(group.c.notice_id, group.c.unit_id, ReceiptKind.OPENED))),
        )
        .group_by(group.c.notice_id, group.c.unit_id)
        .order_by(group.c.notice_id, group.c.unit_id)
    )
    put = dialect.insert(reach).from_select([*PAIR, *ANSWERS, *COUNTED], figures)
    return put.on_conflict_do_update(index_elements=PAIR, set_={name: put.excluded[name] for name in COUNTED})


def _of_rows() -> Any:
    touched = outbox.alias("touched")
    return (
        select(touched.c.notice_id, touched.c.unit_id)
        .where(
            touched.c.id.in_(bindparam("ids", expanding=True)),
            touched.c.notice_id.is_not(None),
            touched.c.unit_id.is_not(None),
        )
        .distinct()
        .subquery("pair")
    )


def _of_notice() -> Any:
    mine = target.c.notice_id == bindparam("notice")
    return select(target.c.notice_id, target.c.unit_id).where(mine).subquery("pair")


def _of_pair() -> Any:
    named = (bindparam("notice", type_=reach.c.notice_id.type), bindparam("unit", type_=reach.c.unit_id.type))
    return select(named[0].label("notice_id"), named[1].label("unit_id")).subquery("pair")


DIALECTS = {"sqlite": sqlite, "postgresql": postgresql}
DELIVERIES_OF_ROWS = {name: _deliveries(dialect, _of_rows()) for name, dialect in DIALECTS.items()}
DELIVERIES_OF_NOTICE = {name: _deliveries(dialect, _of_notice()) for name, dialect in DIALECTS.items()}
DELIVERIES_OF_PAIR = {name: _deliveries(dialect, _of_pair()) for name, dialect in DIALECTS.items()}


def _dialect(connection: Connection) -> Any:
    return DIALECTS[connection.dialect.name]
