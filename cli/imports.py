"""`loa import`: registers from a spreadsheet. All rows are checked first; one bad row, and nothing is written."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlmodel import Session, col, select

from bot import imports, register
from bot.errors import Invalid
from bot.imports import Sheet
from bot.register import Imported
from cli import opening
from cli.say import Trouble, reason, say, say_json, trouble
from cli.user import unit_of
from scheduler import hosting
from store import places
from store.crypto import Vault
from store.tables import Channel, IssuerKind, Unit, UnitKind

app = typer.Typer(no_args_is_help=True, help="Nhập danh sách thôn, bản và sổ hộ từ tệp CSV. (Registers from CSV.)")

MOST_SHOWN = 30
FileName = Annotated[
    Path, typer.Argument(metavar="FILE", help="Tệp CSV UTF-8, dòng đầu là tên cột; - là đọc từ đầu vào")
]
Errors = Annotated[Path | None, typer.Option("--errors", help="Ghi các dòng cần sửa ra tệp CSV này")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Chỉ kiểm tra, không ghi")]
Json = Annotated[bool, typer.Option("--json", help="In kết quả dạng JSON")]


@app.command("villages")
def villages(
    file: FileName,
    commune: Annotated[str, typer.Option(help="Mã xã; không cần khi chỉ có một xã")] = "",
    commune_name: Annotated[str, typer.Option(help="Tên xã, khi xã chưa có trong hệ thống")] = "",
    province_name: Annotated[str, typer.Option(help="Tên tỉnh, khi xã chưa có trong hệ thống")] = "",
    errors: Errors = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Nhập thôn, bản. Cột: Tên thôn bản (bắt buộc), Mã. Nhập lại thì cập nhật theo mã. (Villages of a commune.)"""
    found = opening.settings()
    vault = Vault(found.secret_key)
    sheet = sheet_of(file)
    if dry_run and commune_name:
        raise Trouble("--dry-run chỉ dùng được khi xã đã có trong hệ thống.")
    work = opening.read if dry_run else opening.write
    try:
        result = work(
            found, _villages, vault, sheet, commune, commune_name, province_name, now=opening.now(), dry=dry_run
        )
    except _BadRows as bad:
        result = bad.result
    report(sheet, result, "thôn, bản", errors=errors, dry=dry_run, json=json)


@app.command("households")
def households(
    file: FileName,
    village: Annotated[str, typer.Option(help="Mã hoặc tên thôn, bản, khi tệp không có cột này")] = "",
    errors: Errors = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Nhập sổ hộ của các thôn, bản. (Households of villages.)

    Cột: Thôn bản, Số hộ (bắt buộc), Tên gọi, Mã địa chỉ, Tiếng, Không có điện thoại thông minh, Hộ báo giúp.
    Nhập lại thì cập nhật theo số hộ; cột nào không có trong tệp thì giữ nguyên.
    """
    found = opening.settings()
    sheet = sheet_of(file)
    work = opening.read if dry_run else opening.write
    result = work(found, _households, Vault(found.secret_key), sheet, village, now=opening.now(), dry=dry_run)
    report(sheet, result, "hộ", errors=errors, dry=dry_run, json=json)


def sheet_of(file: Path) -> Sheet:
    """Raises Trouble for a file that cannot be read, Invalid for one that is no table."""
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Trouble(f"Không đọc được tệp {file}: {reason(error)}.") from error
    return imports.read(data)


def _villages(
    session: Session,
    vault: Vault,
    sheet: Sheet,
    commune: str,
    commune_name: str,
    province_name: str,
    *,
    now: datetime,
    dry: bool,
) -> Imported[imports.VillageRow]:
    place = _commune(session, commune, commune_name, province_name, now=now)
    result = register.import_villages(session, sheet, place, now=now, dry=dry)
    if result.checked.complaints and commune_name:
        raise _BadRows(result)  # undoes the new commune
    if not (dry or result.checked.complaints):
        # So that their addresses work at once; the service would make them within a minute.
        channels = session.exec(select(Channel.id).where(Channel.adapter == "webchat")).all()
        hosting.make(session, vault, hosting.missing(session, [channel or 0 for channel in channels]), now=now)
    return result


class _BadRows(Exception):
    """Carries the complaints out of a transaction that must not be kept."""

    def __init__(self, result: Imported[Any]) -> None:
        super().__init__()
        self.result = result


def _commune(session: Session, code: str, name: str, province_name: str, *, now: datetime) -> Unit:
    """The commune that is meant; made with its province and issuing bodies when it is named for the first time."""
    code = code.strip().lower()
    if code:
        known = session.exec(select(Unit).where(Unit.code == code)).first()
        if known is not None and known.kind is UnitKind.COMMUNE:
            return known
        if known is not None:
            raise Invalid(f"Mã {code} là của {known.name}, không phải xã.")
        if not (name and province_name):
            raise Invalid(f"Chưa có xã nào mang mã {code}. Lần đầu hãy thêm --commune-name và --province-name.")
        if not imports.CODE.fullmatch(code):
            raise Invalid("Mã xã chỉ gồm chữ cái không dấu, chữ số và dấu gạch nối.")
        return _new_commune(session, code, name.strip(), province_name.strip(), now=now)
    communes = session.exec(select(Unit).where(Unit.kind == UnitKind.COMMUNE, col(Unit.valid_to).is_(None))).all()
    match communes:
        case [only]:
            return only
        case []:
            raise Invalid("Chưa có xã nào. Lần đầu hãy thêm --commune MÃ --commune-name TÊN --province-name TÊN.")
        case _:
            raise Invalid(
                "Có nhiều xã: hãy thêm --commune với một trong các mã " + ", ".join(u.code for u in communes) + "."
            )


def _new_commune(session: Session, code: str, name: str, province_name: str, *, now: datetime) -> Unit:
    connection, today = session.connection(), now.date()
    province = session.exec(
        select(Unit.id).where(Unit.kind == UnitKind.PROVINCE, Unit.folded == places.folded(province_name))
    ).first()
    if province is None:
        province_code = "-".join(places.folded(province_name).split())
        province = places.put_unit(
            connection, code=province_code, name=province_name, kind=UnitKind.PROVINCE, parent_id=None, today=today
        )
    made = places.put_unit(connection, code=code, name=name, kind=UnitKind.COMMUNE, parent_id=province, today=today)
    places.put_issuers(connection, made, issuers_of(name))
    return session.get_one(Unit, made)


def issuers_of(commune: str) -> dict[IssuerKind, str]:
    """The bodies of a commune that issue notices, as they are called."""
    return {
        IssuerKind.COMMUNE: f"UBND {commune}",
        IssuerKind.POLICE: f"Công an {commune}",
        IssuerKind.HEALTH: f"Trạm y tế {commune}",
    }


def _households(
    session: Session, vault: Vault, sheet: Sheet, village: str, *, now: datetime, dry: bool
) -> Imported[imports.HouseholdRow]:
    only = unit_of(session, village) if village else None
    if only is not None and only.kind is not UnitKind.VILLAGE:
        raise Invalid(f"{only.name} không phải thôn, bản.")
    all_villages = select(Unit).where(Unit.kind == UnitKind.VILLAGE, col(Unit.valid_to).is_(None))
    return register.import_households(
        session, vault, sheet, session.exec(all_villages).all(), now=now, only=only, dry=dry
    )


def report(sheet: Sheet, result: Imported[Any], what: str, *, errors: Path | None, dry: bool, json: bool) -> None:
    """Say what happened. Exit code 1 when a row must be mended."""
    checked = result.checked
    if errors is not None and checked.complaints:
        try:
            errors.write_text(imports.complaints_csv(sheet, checked.complaints), "utf-8", newline="")
        except OSError as error:
            raise Trouble(f"Không ghi được tệp {errors}: {reason(error)}.") from error
    if json:
        say_json(
            {
                "ok": not checked.complaints,
                "written": not dry and not checked.complaints,
                "rows": len(checked.rows),
                "new": result.new,
                "changed": result.changed,
                "ignored_columns": list(checked.ignored),
                "errors": [{"row": c.row, "column": c.column, "reason": c.reason} for c in checked.complaints],
            }
        )
    elif checked.complaints:
        _complain(result, errors)
    else:
        if checked.ignored:
            say("Không dùng các cột: " + ", ".join(checked.ignored))
        if dry:
            say(f"{len(checked.rows)} {what}: mọi dòng đều đúng. Chưa ghi gì (--dry-run).")
        else:
            say(f"Đã nhập {len(checked.rows)} {what}: {result.new} mới, {result.changed} đã có và được cập nhật.")
    if checked.complaints:
        raise typer.Exit(1)


def _complain(result: Imported[Any], errors: Path | None) -> None:
    complaints = result.checked.complaints
    trouble(f"Chưa ghi gì: có {len(complaints)} chỗ cần sửa.")
    for complaint in complaints[:MOST_SHOWN]:
        where = f"Dòng {complaint.row}" + (f", cột “{complaint.column}”" if complaint.column else "")
        trouble(f"  {where}: {complaint.reason}")
    if len(complaints) > MOST_SHOWN:
        trouble(
            f"  … và {len(complaints) - MOST_SHOWN} chỗ nữa" + ("" if errors else " (xem hết bằng --errors TỆP.csv)")
        )
    if errors is not None:
        trouble(f"Các dòng cần sửa đã ghi ra {errors}.")
