"""Places and registers written in bulk: Core statements, because ORM objects in a loop are a hundred times slower."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from unicodedata import normalize

from sqlalchemy import Connection, String, bindparam, cast, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from store.tables import Household, Issuer, IssuerKind, Unit, UnitKind, UnitName

unit = Unit.__table__  # type: ignore[attr-defined]
unit_name = UnitName.__table__  # type: ignore[attr-defined]
issuer = Issuer.__table__  # type: ignore[attr-defined]
household = Household.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Written:
    new: int
    changed: int
    """Known before; what the file says of them now holds."""


def folded(name: str) -> str:
    """Lower case without accents, one space between words: how names are compared."""
    bare = "".join(c for c in normalize("NFD", name.lower().replace("đ", "d")) if not "\u0300" <= c <= "\u036f")
    return " ".join(bare.split())


def put_unit(
    connection: Connection, *, code: str, name: str, kind: UnitKind, parent_id: int | None, today: date
) -> int:
    """A province or commune by its code, made when there is none yet. Returns its id."""
    known = connection.execute(select(unit.c.id).where(unit.c.code == code)).scalar()
    if known is not None:
        return int(known)
    row = {"code": code, "name": name, "folded": folded(name), "kind": kind, "parent_id": parent_id}
    made = connection.execute(insert(unit).values(**row, path="", valid_from=today).returning(unit.c.id)).scalar_one()
    _paths(connection, [made])
    return int(made)


def put_issuers(connection: Connection, unit_id: int, names: Mapping[IssuerKind, str]) -> None:
    """The bodies that issue notices for a unit; those that are there already stay as they are."""
    known = set(connection.execute(select(issuer.c.kind).where(issuer.c.unit_id == unit_id)).scalars())
    rows = [{"unit_id": unit_id, "kind": kind, "name": name} for kind, name in names.items() if kind not in known]
    if rows:
        connection.execute(insert(issuer), rows)


def put_villages(connection: Connection, commune_id: int, names: Mapping[str, str], *, today: date) -> Written:
    """Villages of a commune by code → name, each with an issuer of its own; a changed name is kept as a former one.

    Every code is free or of a village of this commune: the caller has looked, in this transaction.
    """
    if not names:
        return Written(0, 0)
    before = {
        row.code: row
        for row in connection.execute(
            select(unit.c.id, unit.c.code, unit.c.name, unit.c.folded, unit.c.valid_from).where(
                unit.c.code.in_(list(names))
            )
        )
    }
    renamed = [row for code, row in before.items() if row.name != names[code]]
    if renamed:
        former = [
            {"unit_id": r.id, "name": r.name, "folded": r.folded, "valid_from": r.valid_from, "valid_to": today}
            for r in renamed
        ]
        connection.execute(insert(unit_name), former)
    put = _insert(connection, unit)
    put = put.on_conflict_do_update(
        index_elements=["code"], set_={"name": put.excluded.name, "folded": put.excluded.folded}
    )
    connection.execute(
        put,
        [
            {
                "code": code,
                "name": name,
                "folded": folded(name),
                "kind": UnitKind.VILLAGE,
                "parent_id": commune_id,
                "path": "",
                "valid_from": today,
            }
            for code, name in names.items()
        ],
    )
    villages = connection.execute(
        select(unit.c.id, unit.c.code, unit.c.path, unit.c.name).where(unit.c.code.in_(list(names))).order_by(unit.c.id)
    ).all()
    _paths(connection, [row.id for row in villages if not row.path])
    _village_issuers(connection, {row.id: row.name for row in villages}, {row.id: row.name for row in renamed})
    return Written(len(names) - len(before), len(renamed))


def put_households(connection: Connection, rows: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> Written:
    """Register lines by (unit_id, number). Of lines that are there only `columns` change; a closed one opens again.

    `told_by` is a household's number in the same village; it is written once all lines are there.
    """
    if not rows:
        return Written(0, 0)
    villages = sorted({row["unit_id"] for row in rows})
    before = {(r.unit_id, r.number) for r in connection.execute(_numbers(villages))}
    kept = [name for name in columns if name in household.c and name not in ("unit_id", "number")]
    put = _insert(connection, household)
    changes = {name: put.excluded[name] for name in kept}
    put = put.on_conflict_do_update(index_elements=["unit_id", "number"], set_={**changes, "closed_at": None})
    empty: dict[str, Any] = {
        "sealed_label": None,
        "address_code": "",
        "language": "",
        "no_smartphone": False,
        "card_version": 1,
    }
    connection.execute(
        put,
        [
            {**empty, "unit_id": row["unit_id"], "number": row["number"], **{name: row[name] for name in kept}}
            for row in rows
        ],
    )
    if "told_by" in set(columns):
        _neighbours(connection, rows, villages)
    old = sum((row["unit_id"], row["number"]) in before for row in rows)
    return Written(len(rows) - old, old)


def numbers_by_village(connection: Connection, village_ids: Sequence[int]) -> dict[int, set[int]]:
    """Household numbers in use, closed ones not counted."""
    found: dict[int, set[int]] = {village_id: set() for village_id in village_ids}
    for row in connection.execute(_numbers(village_ids).where(household.c.closed_at.is_(None))):
        found[row.unit_id].add(row.number)
    return found


def _numbers(village_ids: Sequence[int]) -> Any:
    return select(household.c.id, household.c.unit_id, household.c.number).where(household.c.unit_id.in_(village_ids))


def _neighbours(connection: Connection, rows: Sequence[Mapping[str, Any]], villages: Sequence[int]) -> None:
    ids = {(row.unit_id, row.number): row.id for row in connection.execute(_numbers(villages))}
    connection.execute(
        update(household)
        .where(household.c.id == bindparam("household_id"))
        .values(told_by_id=bindparam("neighbour_id")),
        [
            {
                "household_id": ids[row["unit_id"], row["number"]],
                "neighbour_id": ids[row["unit_id"], row["told_by"]] if row["told_by"] else None,
            }
            for row in rows
        ],
    )


def _paths(connection: Connection, unit_ids: Sequence[int]) -> None:
    """New units under their parent's path; their ids are known only now."""
    if not unit_ids:
        return
    parent = unit.alias("parent")
    above = select(parent.c.path).where(parent.c.id == unit.c.parent_id).scalar_subquery()
    own = func.coalesce(above, "/") + cast(unit.c.id, String) + "/"
    connection.execute(update(unit).where(unit.c.id.in_(unit_ids)).values(path=own))


def _village_issuers(connection: Connection, names: Mapping[int, str], renamed: Mapping[int, str]) -> None:
    own = issuer.c.kind == IssuerKind.VILLAGE
    known = connection.execute(
        select(issuer.c.id, issuer.c.unit_id, issuer.c.name).where(own, issuer.c.unit_id.in_(names))
    )
    have = {row.unit_id: row for row in known}
    missing = [
        {"unit_id": unit_id, "kind": IssuerKind.VILLAGE, "name": name}
        for unit_id, name in names.items()
        if unit_id not in have
    ]
    if missing:
        connection.execute(insert(issuer), missing)
    for unit_id, former in renamed.items():
        if unit_id in have and have[unit_id].name == former:
            connection.execute(update(issuer).where(issuer.c.id == have[unit_id].id).values(name=names[unit_id]))


def _insert(connection: Connection, table: Any) -> Any:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
