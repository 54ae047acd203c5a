"""`loa user`: people with a duty, how they sign in, and handing an office over."""

import secrets
from datetime import datetime
from typing import Annotated

import typer
from sqlmodel import Session, col, func, select

from bot import people, phones, texts
from bot.errors import Conflict, Invalid, NotFound
from bot.house import House
from bot.settings import Settings
from cli import opening
from cli.say import Trouble, say
from store.places import folded
from store.tables import Person, RoleName, Unit

app = typer.Typer(no_args_is_help=True, help="Người có nhiệm vụ: thêm, nối tài khoản, bàn giao. (People with a duty.)")

Who = Annotated[str, typer.Argument(help="Tên đăng nhập, hoặc mã số in ra khi thêm người")]


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Tên hiện trên màn hình, ví dụ 'Trưởng bản Nà Pheo'")],
    role: Annotated[RoleName, typer.Option(help="Nhiệm vụ")],
    unit: Annotated[str, typer.Option(help="Mã xã hoặc mã thôn, bản phụ trách (ghi cả tên cũng được)")],
    username: Annotated[str, typer.Option(help="Tên đăng nhập; bỏ trống nếu chỉ dùng qua nhắn tin")] = "",
    generate: Annotated[
        bool, typer.Option("--generate", help="Tự tạo mật khẩu và in ra một lần; không có thì hỏi mật khẩu")
    ] = False,
    phone: Annotated[str, typer.Option(help="Số điện thoại, để cán bộ gọi khi có tin chưa chuyển")] = "",
) -> None:
    """Thêm người và giao nhiệm vụ; người đã có thì giao thêm. (Add a person with a role over a unit.)"""
    found = opening.settings()
    if generate and not username:
        raise Trouble("--generate cần đi cùng --username.")
    plain = ""
    if username and not _is_known(found, username):
        plain = (
            secrets.token_urlsafe(12)
            if generate
            else typer.prompt("Mật khẩu", hide_input=True, confirmation_prompt=True)
        )
    person_id, is_new, place = opening.write(
        found, _add, opening.house(found), name, username, _hash(plain), role, unit, phone, now=opening.now()
    )
    say(f"{'Đã thêm' if is_new else 'Đã giao thêm việc cho'} {name}: {texts.ROLES[role]}, {place}. Mã số: {person_id}.")
    if generate and plain:
        say(f"Tên đăng nhập: {username.strip().lower()}\nMật khẩu (chỉ hiện một lần): {plain}")
    if not username:
        say(f"Tiếp theo: chạy `loa user link {person_id}` để lấy mã nối tài khoản nhắn tin.")


@app.command("link")
def link(user: Who) -> None:
    """In mã dùng một lần để nối điện thoại hoặc tài khoản nhắn tin với người này. (A one-time code that ties them.)"""
    found = opening.settings()
    code, name = opening.write(found, _link, opening.house(found), user, now=opening.now())
    say(
        f"Mã của {name}: {code}\n"
        f"Trên điện thoại: người đó mở trang {found.public_url or '(địa chỉ của dịch vụ)'}/truong rồi gõ mã.\n"
        f"Hoặc mở chat riêng với Loa và gõ:  /lienket {code}\n"
        f"Mã dùng một lần, có hiệu lực {people.LINK_CODE_LIFE.days} ngày. Chỉ đưa tận tay hoặc đọc qua điện thoại."
    )


@app.command("handover")
def handover(
    leaving: Annotated[str, typer.Argument(metavar="FROM", help="Người bàn giao: tên đăng nhập hoặc mã số")],
    coming: Annotated[str, typer.Argument(metavar="TO", help="Người nhận: tên đăng nhập hoặc mã số")],
) -> None:
    """Bàn giao mọi việc; người cũ mất quyền ngay. (Move all duties; the old account loses access at once.)"""
    found = opening.settings()
    moved, old, new = opening.write(found, _handover, leaving, coming, now=opening.now())
    say(f"Đã chuyển {moved} việc từ {old} sang {new}. {old} không còn đăng nhập và nhắn lệnh được nữa.")
    say(f"Nếu {new} chưa nối tài khoản nhắn tin: chạy `loa user link {coming}`.")


@app.command("phone")
def phone(
    user: Who,
    number: Annotated[str, typer.Argument(help="Số điện thoại; '' là bỏ số đang ghi")],
) -> None:
    """Ghi số điện thoại, để cán bộ gọi khi có tin chưa chuyển. (The number that officials call.)"""
    found = opening.settings()
    name, kept = opening.write(found, _phone, opening.house(found), user, number, now=opening.now())
    say(f"Đã ghi số của {name}." if kept else f"Đã bỏ số điện thoại của {name}.")


@app.command("token")
def token(
    user: Who,
    name: Annotated[str, typer.Argument(help="Dùng cho việc gì, ví dụ 'phần mềm một cửa'")],
) -> None:
    """Tạo mã truy cập cho /api/v1, in ra một lần. (A bearer token of the REST interface.)"""
    found = opening.settings()
    made = opening.write(found, _token, opening.house(found), user, name, now=opening.now())
    say(made)


def person_of(session: Session, user: str) -> Person:
    """Somebody by user name or by number. Raises NotFound."""
    by = Person.id == int(user) if user.isascii() and user.isdecimal() else Person.username == user.strip().lower()
    found = session.exec(select(Person).where(by)).first()
    if found is None:
        raise NotFound(f"Không có người nào có tên đăng nhập hoặc mã số “{user}”.")
    return found


def unit_of(session: Session, typed: str) -> Unit:
    """A place by its code, or by its name where only one is called so. Raises NotFound or Invalid."""
    found = session.exec(select(Unit).where(Unit.code == typed.strip().lower())).first()
    if found is not None:
        return found
    named = session.exec(select(Unit).where(Unit.folded == folded(typed), col(Unit.valid_to).is_(None))).all()
    if len(named) > 1:
        codes = ", ".join(sorted(unit.code for unit in named))
        raise Invalid(f"Có {len(named)} nơi tên “{typed}”. Hãy dùng mã: {codes}.")
    if not named:
        raise NotFound(f"Không có xã, thôn, bản nào có mã hoặc tên “{typed}”. Xem `loa import villages --help`.")
    return named[0]


def _is_known(found: Settings, username: str) -> bool:
    def look(session: Session) -> bool:
        by_name = select(func.count()).where(Person.username == username.strip().lower())
        return bool(session.exec(by_name).one())

    return opening.read(found, look)


def _hash(plain: str) -> str:
    if not plain:
        return ""
    from api.passwords import hashed

    try:
        return hashed(plain)
    except ValueError as error:
        raise Trouble(str(error)) from error


def _add(
    session: Session,
    house: House,
    name: str,
    username: str,
    password_hash: str,
    role: RoleName,
    unit: str,
    phone: str,
    *,
    now: datetime,
) -> tuple[int, bool, str]:
    place = unit_of(session, unit)
    known = (
        session.exec(select(Person).where(Person.username == username.strip().lower())).first() if username else None
    )
    if known is not None and known.name != name.strip():
        raise Conflict(f"Tên đăng nhập {username} đã là của {known.name}.")
    person = known or people.add_person(session, name, username or None, now=now)
    if known is None:
        person.password_hash = password_hash
    people.grant(session, person, role, place, by=None, now=now)
    if phone:
        phones.put(session, house, person, phone, by=None, now=now)
    return person.id or 0, known is None, place.name


def _link(session: Session, house: House, user: str, *, now: datetime) -> tuple[str, str]:
    person = person_of(session, user)
    if not person.is_active:
        raise Conflict(f"{person.name} không còn giữ việc.")
    return people.new_link_code(session, house, person, now=now), person.name


def _handover(session: Session, leaving: str, coming: str, *, now: datetime) -> tuple[int, str, str]:
    old, new = person_of(session, leaving), person_of(session, coming)
    return people.handover(session, None, old, new, now=now), old.name, new.name


def _phone(session: Session, house: House, user: str, number: str, *, now: datetime) -> tuple[str, str]:
    person = person_of(session, user)
    return person.name, phones.put(session, house, person, number, by=None, now=now)


def _token(session: Session, house: House, user: str, name: str, *, now: datetime) -> str:
    from api.auth import new_token

    person = person_of(session, user)
    if not person.is_active:
        raise Conflict(f"{person.name} không còn giữ việc.")
    token, _ = new_token(session, house.vault, person.id or 0, name, now=now)
    return token
