"""The part of `loa doctor` that needs nobody else: files, disk, database, registers, work left."""

import shutil
import stat
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, delete, exists, func, select, text

from bot import relays
from bot.settings import Settings
from cli import opening
from cli.findings import Finding, broken, ok, warning
from store import reach
from store.opening import file_of, parsed_url
from store.store import Store
from store.tables import (
    Attempt,
    Channel,
    Chat,
    ChatKind,
    EventState,
    Household,
    InboundEvent,
    Outbox,
    Reach,
    Standing,
    State,
    Unit,
    UnitKind,
)
from store.types import now as database_now

LITTLE_SPACE = 1 << 30
NO_SPACE = 200 << 20
PATIENCE = timedelta(minutes=10)
"""How long a row may wait before somebody should ask why."""
MOST_NAMED = 5
RECOUNTED_AT_ONCE = 200
OUR_ROOMS = "webchat"
Other = aliased(Channel)


def files(found: Settings) -> list[Finding]:
    """Whether the files with secrets are their owner's alone."""
    if sys.platform == "win32":
        return []
    return [
        warning("Tệp bí mật", f"{name} có thể bị người khác trên máy đọc", f"Chạy: chmod 600 {name}")
        for name in opening.env_files()
        if Path(name).is_file() and stat.S_IMODE(Path(name).stat().st_mode) & 0o077
    ]


def disk(found: Settings) -> list[Finding]:
    file = _database_file(found)
    if file is None:
        return []
    folder = next(parent for parent in (file.absolute().parent, *file.absolute().parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    words = f"còn trống {_size(free)} ở {folder}"
    if free < NO_SPACE:
        return [broken("Ổ đĩa", words, "Dọn ổ đĩa ngay: hết chỗ thì không nhận và không gửi được tin nào.")]
    if free < LITTLE_SPACE:
        return [warning("Ổ đĩa", words, "Nên dọn ổ đĩa hoặc chuyển dữ liệu sang ổ lớn hơn.")]
    return [ok("Ổ đĩa", words)]


def public_address(found: Settings) -> list[Finding]:
    if not found.public_url:
        return [
            warning(
                "Địa chỉ công khai",
                "chưa có: thông báo không kèm liên kết và mã QR, không in được thẻ hộ",
                "Đặt LOA_PUBLIC_URL, tốt nhất là một tên miền con .gov.vn, bắt đầu bằng https://.",
            )
        ]
    if not found.residents_url:
        return [
            warning(
                "Địa chỉ công khai",
                f"{found.public_url} chỉ mở được trên chính máy này: thông báo không kèm liên kết và mã QR",
                "Đặt LOA_PUBLIC_URL thành địa chỉ mà điện thoại của người dân mở được.",
            )
        ]
    address = urlsplit(found.public_url)
    findings = []
    if address.scheme != "https":
        findings.append(
            warning(
                "Địa chỉ công khai",
                f"{found.public_url} không mã hoá (http); Telegram và Zalo chỉ gọi tới địa chỉ https",
                "Cài chứng chỉ cho máy chủ web rồi đổi LOA_PUBLIC_URL sang https://.",
            )
        )
    host = address.hostname or ""
    if not host.endswith(".gov.vn"):
        findings.append(
            warning(
                "Địa chỉ công khai",
                f"{host} không phải tên miền .gov.vn: người dân được dặn chỉ tin địa chỉ .gov.vn",
                "Xin một tên miền con của tỉnh hoặc xã.",
            )
        )
    return findings or [ok("Địa chỉ công khai", found.public_url)]


def service(found: Settings) -> Finding:
    """Whether somebody serves; only the lock of an SQLite file tells."""
    file = _database_file(found)
    if file is None:
        return ok("Dịch vụ", "dùng PostgreSQL: xem /readyz của từng máy")
    lock = FileLock(f"{file}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return ok("Dịch vụ", "đang chạy")
    lock.release()
    return warning(
        "Dịch vụ", "chưa chạy: không nhận và không gửi tin", "Chạy `loa serve`, hoặc bật dịch vụ của hệ điều hành."
    )


async def writes(found: Settings, store: Store) -> Finding:
    """The database takes a write. Raises StoreError when it does not."""
    await store.write(_write_something, opening.now())
    file = _database_file(found)
    if file is None:
        size = await store.read(_size_on_server)
    else:
        size = sum(name.stat().st_size for name in (file, Path(f"{file}-wal")) if name.exists())
    return ok("Cơ sở dữ liệu", f"đọc và ghi được, {_size(size)}, {opening.database(found)}")


def registers(session: Session) -> list[Finding]:
    villages = select(Unit).where(Unit.kind == UnitKind.VILLAGE, col(Unit.valid_to).is_(None)).order_by(Unit.path)
    count = session.exec(select(func.count()).select_from(villages.subquery())).one()
    if not count:
        return [warning("Thôn, bản", "chưa có thôn, bản nào", "Nhập danh sách: `loa import villages TỆP.csv`.")]
    has_group = exists().where(
        col(Chat.unit_id) == Unit.id,
        col(Chat.kind) == ChatKind.GROUP,
        col(Chat.standing) != Standing.GONE,
        col(Channel.id) == Chat.channel_id,
        # Every village has a room of our own by itself; whether anybody is in it is another matter.
        (col(Channel.adapter) != OUR_ROOMS) | ~exists(select(Other.id).where(Other.adapter != OUR_ROOMS)),
    )
    has_register = exists().where(col(Household.unit_id) == Unit.id, col(Household.closed_at).is_(None))
    without_group = session.exec(villages.where(~has_group)).all()
    without_register = session.exec(villages.where(~has_register)).all()
    findings = [ok("Thôn, bản", f"{count} thôn, bản")]
    if without_group:
        findings.append(
            warning(
                "Nhóm của thôn, bản",
                f"{len(without_group)} nơi chưa nối nhóm nào: {_names(without_group)}",
                "Ghi nhóm Zalo có sẵn bằng `loa relay set`; hoặc thêm bot vào nhóm rồi gõ /dangky kèm mã.",
            )
        )
    if without_register:
        findings.append(
            warning(
                "Sổ hộ",
                f"{len(without_register)} nơi chưa có, số liệu chỉ đếm được tài khoản: {_names(without_register)}",
                "Nhập sổ: `loa import households TỆP.csv`.",
            )
        )
    return findings


def carried_by_hand(session: Session, now: datetime) -> list[Finding]:
    """Groups that a person carries to: whether there is one, and whether we can give that person anything."""
    villages = select(Unit).where(Unit.kind == UnitKind.VILLAGE, col(Unit.valid_to).is_(None)).order_by(Unit.path)
    lines = [
        (village, line)
        for village in session.exec(villages).all()
        for line in relays.of_village(session, village, now=now)
    ]
    if not lines:
        return []
    alone = [village for village, line in lines if line.carrier_id is None]
    unreached = [village for village, line in lines if line.carrier_id and not line.reachable]
    findings = []
    if alone:
        findings.append(
            warning(
                "Chuyển tay",
                f"{len(alone)} nhóm không có người chuyển: {_names(alone)}",
                "Chọn người ở trang của thôn, bản, hoặc `loa relay set`. Tới lúc đó việc dồn về xã.",
            )
        )
    if unreached:
        findings.append(
            warning(
                "Chuyển tay",
                f"{len(unreached)} nhóm mà máy không nhắn được cho người chuyển: {_names(unreached)}",
                "Chạy `loa user link TÊN`; người đó mở trang /truong trên điện thoại rồi gõ mã.",
            )
        )
    return findings or [ok("Chuyển tay", f"{len(lines)} nhóm, đều có người chuyển mà máy nhắn tới được")]


def work_left(session: Session, now: datetime) -> list[Finding]:
    findings = []
    aside = session.exec(select(func.count()).where(InboundEvent.state == EventState.ASIDE)).one()
    if aside:
        findings.append(
            warning(
                "Tin đến", f"{aside} tin xử lý nhiều lần không được, đã để riêng", "Quản trị viên xem nhật ký dịch vụ."
            )
        )
    waiting = session.exec(
        select(func.count(), func.min(InboundEvent.received_at)).where(
            col(InboundEvent.state).in_([EventState.NEW, EventState.LEASED])
        )
    ).one()
    findings += _waiting("Tin đến", "chưa xử lý", *waiting, now)
    queued = session.exec(
        select(func.count(), func.min(Outbox.created_at)).where(
            col(Outbox.state).in_([State.QUEUED, State.LEASED, State.SENDING]),
            col(Outbox.not_before).is_(None) | (col(Outbox.not_before) <= now),
        )
    ).one()
    findings += _waiting("Tin đi", "chưa gửi", *queued, now)
    unsure = session.exec(select(func.count()).where(Outbox.state == State.UNKNOWN)).one()
    if unsure:
        findings.append(
            warning(
                "Tin đi",
                f"{unsure} tin chưa rõ đã tới hay chưa",
                "Xem trên trang của từng thông báo rồi quyết định gửi lại.",
            )
        )
    return findings or [ok("Tin đến và đi", "không có gì tồn đọng")]


def _waiting(subject: str, what: str, count: int, oldest: datetime | None, now: datetime) -> list[Finding]:
    if not count or oldest is None or now - oldest < PATIENCE:
        return []
    minutes = int((now - oldest).total_seconds() // 60)
    return [
        warning(
            subject,
            f"{count} tin {what}, lâu nhất {minutes} phút",
            "Kiểm tra dịch vụ có đang chạy và kênh có lỗi không (các dòng trên và dưới).",
        )
    ]


def database_time(session: Session) -> datetime:
    return database_now(session.connection())


async def recount(store: Store) -> Finding:
    """Count every figure anew from its rows, and say how many had drifted."""
    pairs = await store.read(_pairs)
    drifted = 0
    for some in _chunks(pairs):
        drifted += await store.write(_recounted, some)
    words = f"đếm lại {len(pairs)} dòng số liệu"
    if drifted:
        return warning(
            "Số liệu", f"{words}; {drifted} dòng bị lệch, đã sửa", "Báo người bảo trì: số liệu không được lệch."
        )
    return ok("Số liệu", f"{words}, không dòng nào lệch")


def _pairs(session: Session) -> list[reach.Pair]:
    return [
        (row[0], row[1])
        for row in session.exec(
            select(Reach.notice_id, Reach.unit_id).order_by(col(Reach.notice_id), col(Reach.unit_id))
        )
    ]


def _recounted(session: Session, pairs: tuple[reach.Pair, ...]) -> int:
    before = {pair: _figures(session, pair) for pair in pairs}
    reach.recount(session.connection(), pairs)
    return sum(_figures(session, pair) != figures for pair, figures in before.items())


def _figures(session: Session, pair: reach.Pair) -> tuple[Any, ...]:
    table = reach.reach
    found = session.connection().execute(select(table).where(table.c.notice_id == pair[0], table.c.unit_id == pair[1]))
    return tuple(found.one())


def _chunks(pairs: list[reach.Pair]) -> list[tuple[reach.Pair, ...]]:
    return [tuple(pairs[start : start + RECOUNTED_AT_ONCE]) for start in range(0, len(pairs), RECOUNTED_AT_ONCE)]


def _write_something(session: Session, now: datetime) -> None:
    session.merge(Attempt(key="doctor", first_at=now))
    session.flush()
    session.connection().execute(delete(Attempt).where(col(Attempt.key) == "doctor"))


def _size_on_server(session: Session) -> int:
    return int(session.connection().execute(text("SELECT pg_database_size(current_database())")).scalar_one())


def _database_file(found: Settings) -> Path | None:
    parsed = parsed_url(found.database_url)
    return file_of(parsed) if parsed.get_backend_name() == "sqlite" else None


def _names(units: Any) -> str:
    named = ", ".join(unit.name for unit in units[:MOST_NAMED])
    return named if len(units) <= MOST_NAMED else f"{named} …"


def _size(count: float) -> str:
    for unit in ("byte", "kB", "MB", "GB"):
        if count < 1024 or unit == "GB":
            return f"{count:.0f} {unit}" if unit in ("byte", "kB") else f"{count:.1f} {unit}".replace(".", ",")
        count /= 1024
    raise AssertionError("GB ends the loop")
