"""`loa demo`: an invented commune to try everything on, on this machine alone."""

import asyncio
import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from filelock import FileLock, Timeout
from pydantic import SecretStr
from sqlmodel import Session, col, select

from bot import people, register, relays
from bot.house import House
from bot.settings import Settings
from cli import opening, serve
from cli.imports import issuers_of
from cli.migrate import upgraded
from cli.say import Trouble, reason, say
from scheduler import channels
from store import places, rooms
from store.opening import open_store
from store.tables import Person, RoleName, Unit, UnitKind

KEPT = ".env"
"""In the data folder: the key and the password of this demo, made once. `loa --env-file` takes it too."""
PROVINCE = ("may-trang", "tỉnh Mây Trắng")
COMMUNE = ("suoi-suong", "xã Suối Sương")


@dataclass(frozen=True, slots=True)
class DemoVillage:
    code: str
    name: str
    households: int
    language: str


VILLAGES = (
    DemoVillage("na-pheo", "bản Nà Pheo", 42, "Thái"),
    DemoVillage("huoi-may", "bản Huổi Mây", 31, "Mông"),
    DemoVillage("pa-lim", "bản Pá Lim", 57, "Thái"),
    DemoVillage("nam-sang", "bản Nậm Sáng", 24, "Mông"),
    DemoVillage("khe-vau", "bản Khe Vầu", 38, "Dao"),
    DemoVillage("suoi-trong", "bản Suối Trong", 49, "Thái"),
    DemoVillage("doi-che", "thôn Đồi Chè", 27, "Kinh"),
    DemoVillage("cau-treo", "thôn Cầu Treo", 60, "Kinh"),
)
OFFICE = (
    ("Cán bộ văn hoá", "vanhoa", RoleName.OFFICIAL),
    ("Phó chủ tịch xã", "phochutich", RoleName.OFFICIAL),
)
OTHERS = (
    ("Quản trị hệ thống", "quantri", RoleName.ADMIN),
    ("Người xem số liệu", "xemsolieu", RoleName.VIEWER),
)
RELAY = "khe-vau"
"""The village that keeps to the Zalo group it has: notices are carried there by hand."""
RELAY_GROUP, RELAY_MEMBERS = "Bản Khe Vầu mình", 64
BACKUP = ("Tổ công nghệ số bản Khe Vầu", "tocongnghe")
LANDMARKS = (
    "gần điểm trường",
    "đầu đường vào",
    "cạnh nhà văn hoá",
    "bên suối",
    "trên dốc",
    "gần cầu",
    "cạnh trạm biến áp",
    "cuối đường",
    "gần sân bóng",
)
NO_SMARTPHONE_EVERY = 7


class Given(Settings):
    """What the user's own environment says; a key is not asked for."""

    secret_key: SecretStr = SecretStr("")


@dataclass(frozen=True, slots=True)
class Kept:
    secret_key: str
    password: str


def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Cổng trên máy này")] = 8000,
    data: Annotated[Path, typer.Option(help="Thư mục giữ dữ liệu chạy thử")] = Path("data"),
    host: Annotated[str, typer.Option(help="Địa chỉ lắng nghe; 127.0.0.1 là chỉ máy này")] = "127.0.0.1",
    reset: Annotated[bool, typer.Option("--reset", help="Xoá dữ liệu chạy thử và làm lại từ đầu")] = False,
    token: Annotated[bool, typer.Option("--token", help="In thêm một mã truy cập /api/v1 của cán bộ văn hoá")] = False,
) -> None:
    """Chạy thử với một xã tưởng tượng; lần sau giữ nguyên dữ liệu. (Serve an invented commune.)"""
    folder = data.absolute()
    _make(folder)
    kept = _keep(folder)
    own_file = folder / "loa.db"
    found = demo_settings(kept, own_file, port)
    is_own = opening.database(found) == str(own_file)
    if reset:
        if not is_own:
            raise Trouble("--reset chỉ xoá dữ liệu trong thư mục chạy thử; LOA_DATABASE_URL đang trỏ tới nơi khác.")
        _reset(own_file)
    serve.refuse_second(found)
    upgraded(found.database_url)
    is_new = asyncio.run(load_once(found, kept.password))
    bearer = _bearer(found) if token else ""

    def announce(address: str) -> None:
        say(welcome(address, kept.password, folder, is_new=is_new, bearer=bearer))
        if not is_own:
            say(f"  Lưu ý: dữ liệu nằm ở {opening.database(found)}, theo LOA_DATABASE_URL của bạn.")

    serve.run(found, host, port, work=True, announce=announce)


def demo_settings(kept: Kept, file: Path, port: int) -> Settings:
    """What the user has set holds; for the rest the demo has values of its own."""
    own: dict[str, object] = {
        "database_url": f"sqlite:///{file}",
        "public_url": f"http://127.0.0.1:{port}",
        "secret_key": kept.secret_key,
        "demo": True,
    }
    given = opening.settings_of(Given).model_fields_set
    return opening.settings(**{name: value for name, value in own.items() if name not in given})


def welcome(address: str, password: str, folder: Path, *, is_new: bool, bearer: str) -> str:
    """What the terminal says once the commune can be looked at."""
    heads = ", ".join(_username(village) for village in VILLAGES)
    people_lines = [
        f"    {username:<12}{name}" for name, username in (*(known[:2] for known in (*OFFICE, *OTHERS)), BACKUP)
    ]
    lines = [
        f"Loa Bản đang chạy: {address}" + ("" if is_new else "  (giữ dữ liệu của lần trước)"),
        "",
        f"  Bắt đầu ở đây     {address}/",
        f"  Nhóm của bản      {address}/chat/{VILLAGES[0].code}",
        f"  Trang quản lý     {address}/console/",
        "",
        f"  Đăng nhập, mật khẩu chung {password}",
        *people_lines,
        f"    và trưởng thôn, bản: {heads}",
        "",
        *([f"  Mã /api/v1        {bearer}", ""] if bearer else []),
        "  Lệnh khác, ví dụ lấy mã nối tài khoản nhắn tin cho trưởng bản:",
        f"    {_command()} --env-file {folder / KEPT} user link {_username(VILLAGES[0])}",
        "",
        "  Dừng: Ctrl+C",
    ]
    return "\n".join(lines)


def _command() -> str:
    """How `loa` is called from here: by its path, unless its folder is on PATH."""
    beside = Path(sys.executable).with_name("loa")
    return "loa" if shutil.which("loa") or not beside.exists() else os.path.relpath(beside)


# ---------------------------------------------------------------- the folder


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Trouble(f"Không tạo được thư mục {folder}: {reason(error)}.") from error


def _keep(folder: Path) -> Kept:
    """The key and the password of this folder, made at the first start and readable by their owner alone."""
    file = folder / KEPT
    try:
        lines = dict(
            line.split("=", 1) for line in file.read_text("utf-8").splitlines() if "=" in line and line[0] != "#"
        )
    except FileNotFoundError:
        lines = {}
    except OSError as error:
        raise Trouble(f"Không đọc được {file}: {reason(error)}.") from error
    if {"LOA_SECRET_KEY", "DEMO_PASSWORD"} <= lines.keys():
        return Kept(lines["LOA_SECRET_KEY"], lines["DEMO_PASSWORD"])
    if lines:
        raise Trouble(f"{file} không phải của bản chạy thử. Hãy chọn thư mục khác bằng --data.")
    kept = Kept(secrets.token_urlsafe(32), f"banlang-{secrets.randbelow(10**6):06}")
    text = (
        "# Của bản chạy thử `loa demo`. / Of the demo.\n"
        f"LOA_SECRET_KEY={kept.secret_key}\n"
        f"LOA_DATABASE_URL=sqlite:///{folder / 'loa.db'}\n"
        "LOA_DEMO=true\n"
        f"DEMO_PASSWORD={kept.password}\n"
    )
    try:
        # Private from its first byte on.
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise Trouble(f"Không ghi được {file}: {reason(error)}.") from error
    return kept


def _reset(file: Path) -> None:
    """Take the demo's own database away; the key and the password stay."""
    lock = FileLock(f"{file}.lock")
    try:
        with lock.acquire(timeout=0):
            for name in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
                name.unlink(missing_ok=True)
    except Timeout as error:
        raise Trouble("Bản chạy thử đang chạy: hãy dừng nó (Ctrl+C) rồi chạy lại với --reset.") from error


# ---------------------------------------------------------------- the commune


async def load_once(found: Settings, password: str) -> bool:
    """Load the invented commune when it is not there. Raises Trouble for a database of somebody's real commune."""
    store = open_store(found.database_url, owner=True)
    try:
        if await store.read(_is_loaded):
            if await store.read(_wants_relay, found.adapters):  # a demo of an earlier release
                password_hash = await asyncio.to_thread(_hashed, password)
                await store.write(add_relay, opening.house(found), password_hash, found.adapters, now=opening.now())
            return False
        # Before the transaction: hashing takes a while on purpose. One for all, as the password is.
        password_hash = await asyncio.to_thread(_hashed, password)
        await store.write(load, opening.house(found), password_hash, found.adapters, now=opening.now())
        return True
    finally:
        await store.aclose()


def _is_loaded(session: Session) -> bool:
    codes = set(session.exec(select(Unit.code).where(Unit.kind == UnitKind.COMMUNE)).all())
    if codes - {COMMUNE[0]}:
        raise Trouble(
            "Cơ sở dữ liệu này đã có xã khác: không đưa xã tưởng tượng vào. Hãy bỏ LOA_DATABASE_URL khi chạy thử."
        )
    return bool(codes)


def load(session: Session, house: House, password_hash: str, adapters: Sequence[str], *, now: datetime) -> None:
    """The whole commune in one transaction: places, registers, people, one web chat group a village."""
    connection, today = session.connection(), now.date()
    province = places.put_unit(
        connection, code=PROVINCE[0], name=PROVINCE[1], kind=UnitKind.PROVINCE, parent_id=None, today=today
    )
    commune = places.put_unit(
        connection, code=COMMUNE[0], name=COMMUNE[1], kind=UnitKind.COMMUNE, parent_id=province, today=today
    )
    places.put_issuers(connection, commune, issuers_of(COMMUNE[1]))
    places.put_villages(connection, commune, {village.code: village.name for village in VILLAGES}, today=today)
    units = {unit.code: unit for unit in session.exec(select(Unit)).all()}
    for village in VILLAGES:
        rows = households_of(village, units[village.code].id or 0, house)
        places.put_households(connection, rows, ("sealed_label", "language", "no_smartphone", "told_by"))
    for name, username, role in OFFICE:
        _person(session, name, username, password_hash, role, units[COMMUNE[0]], now=now)
    for village in VILLAGES:
        kind, _, own_name = village.name.partition(" ")
        _person(
            session,
            f"Trưởng {kind} {own_name}",
            _username(village),
            password_hash,
            RoleName.VILLAGE_HEAD,
            units[village.code],
            now=now,
        )
    for name, username, role in OTHERS:
        _person(session, name, username, password_hash, role, units[COMMUNE[0]], now=now)
    for channel in channels.ensure(session, adapters, now=now):
        if (channel.adapter, channel.name) == ("webchat", channels.MAIN):
            for village in VILLAGES:
                rooms.ensure_group(session, house.vault, channel.id, units[village.code], now=now)

    if relays.RELAY in adapters:
        add_relay(session, house, password_hash, adapters, now=now)


def _wants_relay(session: Session, adapters: Sequence[str]) -> bool:
    """Whether the village was never set up: one that was closed by hand stays so."""
    known = session.exec(select(Person.id).where(Person.username == BACKUP[1])).first()
    village = session.exec(select(Unit.id).where(Unit.code == RELAY, col(Unit.valid_to).is_(None))).first()
    head = session.exec(select(Person.id).where(Person.username == RELAY.replace("-", ""), Person.is_active)).first()
    return relays.RELAY in adapters and known is None and village is not None and head is not None


def add_relay(session: Session, house: House, password_hash: str, adapters: Sequence[str], *, now: datetime) -> None:
    """One village keeps its own Zalo group. Its head and a helper carry notices there; their phones are linked already.

    Nobody of the demo has a telephone number: whatever we made up could be somebody's.
    """
    from api.auth import phone_session

    channels.ensure(session, adapters, now=now)
    village = session.exec(select(Unit).where(Unit.code == RELAY)).one()
    _person(session, *BACKUP, password_hash, RoleName.HELPER, village, now=now)
    carrier, backup = [
        session.exec(select(Person.id).where(Person.username == username)).one()
        for username in (RELAY.replace("-", ""), BACKUP[1])
    ]
    relays.put(
        session,
        house,
        None,
        village,
        title=RELAY_GROUP,
        members=RELAY_MEMBERS,
        carrier_id=carrier,
        backup_id=backup,
        now=now,
    )
    for person_id in (carrier, backup):
        phone_session(session, house.vault, person_id or 0, now=now)


def households_of(village: DemoVillage, unit_id: int, house: House) -> list[dict[str, object]]:
    """The same register every time; houses have a number and a landmark, never a person's name."""
    return [
        {
            "unit_id": unit_id,
            "number": number,
            "sealed_label": register.sealed_label(
                house.vault, f"Nhà số {number}, {LANDMARKS[(number * 5 + village.households) % len(LANDMARKS)]}"
            ),
            "language": village.language,
            "no_smartphone": number % NO_SMARTPHONE_EVERY == 0,
            "told_by": number - 1 if number % NO_SMARTPHONE_EVERY == 0 else None,
        }
        for number in range(1, village.households + 1)
    ]


def _person(
    session: Session, name: str, username: str, password_hash: str, role: RoleName, unit: Unit, *, now: datetime
) -> None:
    person = people.add_person(session, name, username, now=now)
    person.password_hash = password_hash
    people.grant(session, person, role, unit, by=None, now=now)


def _username(village: DemoVillage) -> str:
    return village.code.replace("-", "")


def _hashed(password: str) -> str:
    from api.passwords import hashed

    return hashed(password)


def _bearer(found: Settings) -> str:
    from api.auth import new_token

    def make(session: Session) -> str:
        person = session.exec(select(Person).where(Person.username == OFFICE[0][1])).one()
        made, _ = new_token(session, opening.house(found).vault, person.id or 0, "demo", now=opening.now())
        return made

    return opening.write(found, make)
