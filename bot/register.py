"""Importing registers: one look and one write in one transaction, all rows or none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlmodel import Session, col, select

from bot.errors import NotFound
from bot.imports import (
    Checked,
    HouseholdRow,
    Sheet,
    Village,
    VillageRow,
    check_households,
    check_villages,
)
from bot.permissions import NOT_FOUND
from store import audit, places, reach
from store.crypto import Vault
from store.tables import Unit, UnitKind

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Imported(Generic[T]):
    checked: Checked[T]
    new: int = 0
    changed: int = 0


def sealed_label(vault: Vault, label: str) -> bytes | None:
    """What the head calls the house, for the head's eyes only."""
    return vault.seal(label) if label else None


def import_villages(
    session: Session, sheet: Sheet, commune: Unit, *, now: datetime, person_id: int | None = None, dry: bool = False
) -> Imported[VillageRow]:
    """Villages of a commune, by code. Nothing is written when a row has a complaint, or when `dry`."""
    if commune.kind is not UnitKind.COMMUNE or commune.id is None:
        raise NotFound(NOT_FOUND)
    elsewhere = session.exec(
        select(Unit).where((col(Unit.parent_id).is_distinct_from(commune.id)) | col(Unit.valid_to).is_not(None))
    )
    taken = {unit.code: unit.name + (" (đã đóng)" if unit.valid_to else "") for unit in elsewhere}
    checked = check_villages(sheet, commune_code=commune.code, taken=taken)
    if dry or not checked.rows:
        return Imported(checked)
    names = {row.code: row.name for row in checked.rows}
    written = places.put_villages(session.connection(), commune.id, names, today=now.date())
    detail = f"{written.new} new, {written.changed} changed"
    audit.note(session, at=now, person_id=person_id, unit_id=commune.id, action="villages imported", detail=detail)
    return Imported(checked, written.new, written.changed)


def import_households(
    session: Session,
    vault: Vault,
    sheet: Sheet,
    villages: Sequence[Unit],
    *,
    now: datetime,
    only: Unit | None = None,
    person_id: int | None = None,
    dry: bool = False,
) -> Imported[HouseholdRow]:
    """Register lines of these villages, by number; figures of notices follow. One complaint, and nothing is written.

    `only`: the whole file is of this village.
    """
    numbers = places.numbers_by_village(session.connection(), [village.id or 0 for village in villages])
    known = [Village(v.id or 0, v.code, v.name, numbers[v.id or 0]) for v in villages]
    checked = check_households(
        sheet, known, only=next((v for v in known if only is not None and v.id == only.id), None)
    )
    if dry or not checked.rows:
        return Imported(checked)
    columns = checked.columns - {"village", "number"}
    columns = frozenset("sealed_label" if column == "label" else column for column in columns)
    written = places.put_households(session.connection(), [_line(vault, row) for row in checked.rows], columns)
    for village_id in sorted({row.unit_id for row in checked.rows}):
        reach.recount_village(session.connection(), village_id)
        rows = sum(row.unit_id == village_id for row in checked.rows)
        detail = f"{rows} lines"
        audit.note(
            session, at=now, person_id=person_id, unit_id=village_id, action="households imported", detail=detail
        )
    return Imported(checked, written.new, written.changed)


def _line(vault: Vault, row: HouseholdRow) -> dict[str, Any]:
    return {
        "unit_id": row.unit_id,
        "number": row.number,
        "sealed_label": sealed_label(vault, row.label),
        "address_code": row.address_code,
        "language": row.language,
        "no_smartphone": row.no_smartphone,
        "told_by": row.told_by,
    }
