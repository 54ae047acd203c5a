"""`loa relay`: groups that exist already and that no account of ours may enter, with the people who carry into them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from sqlmodel import Session, col, select

from bot import imports, relays
from bot.errors import Conflict, Invalid, NotFound
from bot.house import House
from bot.imports import Carrier, RelayRow, Sheet, Village
from bot.register import Imported
from bot.relays import RelayLine
from cli import opening
from cli.imports import DryRun, Errors, FileName, Json, report, sheet_of
from cli.say import Trouble, reason, say, say_json, table
from cli.user import person_of, unit_of
from scheduler import channels
from store.places import folded
from store.tables import Chat, Unit, UnitKind

if TYPE_CHECKING:
    from pictures import SetupWords

app = typer.Typer(
    no_args_is_help=True,
    help="Nhóm Zalo có sẵn của thôn, bản: ai chuyển thông báo vào bằng tay. (Groups that a person carries notices to.)",
)

Where = Annotated[str, typer.Argument(metavar="VILLAGE", help="Mã hoặc tên thôn, bản")]


@app.command("set")
def set_(
    village: Where,
    group: Annotated[str, typer.Option(help="Tên nhóm Zalo, đúng như trong Zalo")],
    carrier: Annotated[str, typer.Option(help="Người chuyển: tên đăng nhập hoặc mã số")],
    backup: Annotated[str, typer.Option(help="Người dự phòng: tên đăng nhập hoặc mã số")] = "",
    members: Annotated[int | None, typer.Option(min=1, help="Số người trong nhóm")] = None,
    rename: Annotated[str, typer.Option(help="Tên cũ của nhóm, khi nhóm đã ghi dưới tên khác")] = "",
    add: Annotated[bool, typer.Option("--add", help="Thêm nhóm nữa cho thôn, bản đã có nhóm")] = False,
) -> None:
    """Ghi nhóm có sẵn của thôn, bản, người chuyển và người dự phòng; ghi lại thì cập nhật. (Note or change a group.)"""
    found = opening.settings()
    line, name = opening.write(
        found,
        _set,
        opening.house(found),
        found.adapters,
        village,
        group,
        members,
        carrier,
        backup,
        rename=rename,
        add=add,
        now=opening.now(),
    )
    say(f"Đã ghi nhóm “{line.title}” của {name}: {line.carrier} chuyển, dự phòng {line.backup or 'chưa có'}.")
    if not line.reachable:
        say(
            "Máy chưa nhắn được cho người chuyển nào của nhóm này. Chạy `loa user link TÊN`, "
            "rồi người đó mở trang /truong trên điện thoại và gõ mã."
        )


@app.command("list")
def list_(json: Json = False) -> None:
    """Liệt kê các nhóm chuyển tay. (Groups, their carriers, and whether anything reaches these.)"""
    lines = opening.read(opening.settings(), _all, now=opening.now())
    if json:
        say_json(
            [
                {
                    "village": unit.code,
                    "group": line.title,
                    "members": line.members,
                    "audience": line.audience,
                    "carrier": line.carrier,
                    "backup": line.backup,
                    "reachable": line.reachable,
                }
                for unit, line in lines
            ]
        )
    elif not lines:
        say("Chưa có nhóm nào. Ghi một nhóm: `loa relay set`; ghi nhiều nhóm: `loa relay import`.")
    else:
        header = ("Thôn, bản", "Nhóm", "Số người", "Người chuyển", "Dự phòng", "Máy nhắn tới được")
        say(table(header, [(unit.name, *_cells(line)) for unit, line in lines]))


@app.command("close")
def close(
    village: Where, group: Annotated[str, typer.Option(help="Tên nhóm, khi thôn, bản có nhiều nhóm")] = ""
) -> None:
    """Thôi chuyển vào nhóm này; tin còn chờ chuyển được bỏ. (Serve a group no longer.)"""
    name, title = opening.write(opening.settings(), _close, village, group, now=opening.now())
    say(f"Từ nay không chuyển vào nhóm “{title}” của {name} nữa.")


@app.command("import")
def import_(file: FileName, errors: Errors = None, dry_run: DryRun = False, json: Json = False) -> None:
    """Ghi nhóm của nhiều thôn, bản một lần. (Groups of many villages from CSV.)

    Cột: Thôn bản, Nhóm Zalo, Người chuyển (bắt buộc), Số người, Người dự phòng. Người ghi bằng tên đăng nhập hoặc
    đúng tên hiện trên màn hình. Một dòng sai thì không ghi dòng nào. Nhập lại thì cập nhật.
    """
    found = opening.settings()
    rows = sheet_of(file)
    work = opening.read if dry_run else opening.write
    result = work(found, _import, opening.house(found), found.adapters, rows, now=opening.now(), dry=dry_run)
    report(rows, result, "nhóm", errors=errors, dry=dry_run, json=json)


@app.command("sheet")
def sheet(
    village: Where,
    out: Annotated[Path, typer.Option("--out", "-o", help="Tệp PDF để in")],
    group: Annotated[str, typer.Option(help="Tên nhóm, khi thôn, bản có nhiều nhóm")] = "",
) -> None:
    """Làm phiếu cài đặt của một thôn, bản: các bước, nội dung ghim trong nhóm. (The set-up sheet of a village.)"""
    from pictures import setup_pdf

    found = opening.settings()
    words = opening.read(found, _words, opening.house(found), village, group, opening.now())
    try:
        out.write_bytes(setup_pdf(words))
    except OSError as error:
        raise Trouble(f"Không ghi được tệp {out}: {reason(error)}.") from error
    say(f"Đã làm phiếu cài đặt của {words.village}: {out}. In ra rồi đưa tận tay người chuyển.")
    if not found.residents_url:
        say("Chưa có địa chỉ công khai (LOA_PUBLIC_URL) nên phiếu này không có liên kết và mã QR.")


# ---------------------------------------------------------------- the work


def _set(
    session: Session,
    house: House,
    adapters: Sequence[str],
    village: str,
    group: str,
    members: int | None,
    carrier: str,
    backup: str,
    *,
    rename: str,
    add: bool,
    now: datetime,
) -> tuple[RelayLine, str]:
    place = village_of(session, village)
    channels.ensure(session, adapters, now=now)
    known = [line for line in relays.of_village(session, place, now=now) if not line.audience]
    same = _called(known, rename or group)
    if rename and same is None:
        raise NotFound(f"{place.name} không có nhóm nào tên “{rename}”.")
    if same is None and known and not add:
        names = ", ".join(f"“{line.title}”" for line in known)
        raise Conflict(
            f"{place.name} đã có nhóm {names}. Đổi tên nhóm: thêm --rename TÊN-CŨ. Thêm một nhóm nữa: --add."
        )
    chat = relays.put(
        session,
        house,
        None,
        place,
        title=group,
        members=members if members is not None or same is None else same.members,
        carrier_id=person_of(session, carrier).id,
        backup_id=person_of(session, backup).id if backup else None,
        now=now,
        chat_id=same.chat_id if same else None,
    )
    session.flush()
    return next(line for line in relays.of_village(session, place, now=now) if line.chat_id == chat.id), place.name


def _all(session: Session, *, now: datetime) -> list[tuple[Unit, RelayLine]]:
    return [(village, line) for village in _villages(session) for line in relays.of_village(session, village, now=now)]


def _cells(line: RelayLine) -> tuple[str, str, str, str, str]:
    title = f"{line.title} ({line.audience})" if line.audience else line.title
    members = str(line.members) if line.members is not None else "–"
    return title, members, line.carrier or "chưa có", line.backup or "–", "có" if line.reachable else "CHƯA"


def _close(session: Session, village: str, group: str, *, now: datetime) -> tuple[str, str]:
    place = village_of(session, village)
    line = _line(session, place, group, now=now)
    relays.close(session, None, session.get_one(Chat, line.chat_id), now=now)
    return place.name, line.title


def _import(
    session: Session, house: House, adapters: Sequence[str], sheet: Sheet, *, now: datetime, dry: bool
) -> Imported[RelayRow]:
    villages = {village.id or 0: village for village in _villages(session)}
    known = [Village(unit_id, village.code, village.name) for unit_id, village in villages.items()]
    checked = imports.check_relays(sheet, known, _carriers(session, villages.values()))
    if dry or not checked.rows:
        return Imported(checked)
    channels.ensure(session, adapters, now=now)
    new = sum(_put(session, house, villages[row.unit_id], row, checked.rows, now=now) for row in checked.rows)
    return Imported(checked, new, len(checked.rows) - new)


def _put(
    session: Session, house: House, village: Unit, row: RelayRow, rows: Sequence[RelayRow], *, now: datetime
) -> bool:
    """Write one row; whether its group is new. A village's only group under another name has been renamed."""
    lines = [line for line in relays.of_village(session, village, now=now) if not line.audience]
    same = _called(lines, row.title)
    if same is None and len(lines) == 1 and sum(other.unit_id == row.unit_id for other in rows) == 1:
        same = lines[0]
    relays.put(
        session,
        house,
        None,
        village,
        title=row.title,
        members=row.members if row.members is not None or same is None else same.members,
        carrier_id=row.carrier_id,
        backup_id=row.backup_id,
        now=now,
        chat_id=same.chat_id if same else None,
    )
    session.flush()
    return same is None


def _carriers(session: Session, villages: Collection[Unit]) -> list[Carrier]:
    found: dict[int, tuple[str, str, set[int]]] = {}
    for village in villages:
        for person in relays.candidates(session, village):
            found.setdefault(person.id or 0, (person.username or "", person.name, set()))[2].add(village.id or 0)
    return [Carrier(person_id, *known) for person_id, known in found.items()]


def _words(session: Session, house: House, village: str, group: str, now: datetime) -> "SetupWords":
    from bot.setup import setup_words

    place = village_of(session, village)
    return setup_words(session, house, place, _line(session, place, group, now=now))


def village_of(session: Session, typed: str) -> Unit:
    """A village by code or name. Raises NotFound or Invalid."""
    place = unit_of(session, typed)
    if place.kind is not UnitKind.VILLAGE:
        raise Invalid(f"{place.name} không phải thôn, bản.")
    return place


def _line(session: Session, village: Unit, group: str, *, now: datetime) -> RelayLine:
    """The group that is meant; the village's only one when none is named."""
    lines = relays.of_village(session, village, now=now)
    if group and (named := _called(lines, group)) is not None:
        return named
    match lines:
        case [only] if not group:
            return only
        case []:
            raise NotFound(f"{village.name} chưa có nhóm nào để chuyển tay. Ghi nhóm: `loa relay set`.")
        case _:
            names = ", ".join(f"“{line.title}”" for line in lines)
            raise Invalid(f"{village.name} có nhóm {names}: hãy nói rõ bằng --group.")


def _called(lines: Sequence[RelayLine], title: str) -> RelayLine | None:
    return next((line for line in lines if folded(line.title) == folded(title)), None)


def _villages(session: Session) -> list[Unit]:
    found = select(Unit).where(Unit.kind == UnitKind.VILLAGE, col(Unit.valid_to).is_(None))
    return list(session.exec(found.order_by(col(Unit.parent_id), col(Unit.id))).all())
