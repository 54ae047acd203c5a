"""`loa cards`: a printable sheet of household cards. One file, no script, nothing from another host."""

from pathlib import Path
from typing import Annotated

import typer
from sqlmodel import Session

from bot.errors import Conflict, Invalid
from bot.house import House
from cli import opening
from cli.say import Trouble, reason, say
from cli.user import unit_of
from store.tables import UnitKind


def cards(
    village: Annotated[str, typer.Argument(metavar="VILLAGE", help="Mã hoặc tên thôn, bản")],
    out: Annotated[Path, typer.Option(help="Tệp HTML để mở bằng trình duyệt rồi in")],
) -> None:
    """Làm tờ in thẻ QR của các hộ trong một thôn, bản. (A printable sheet of household cards.)"""
    found = opening.settings()
    if not found.residents_url:
        raise Trouble(
            "Chưa có địa chỉ công khai nên mã QR không mở được ở điện thoại của người dân. "
            "Hãy đặt LOA_PUBLIC_URL (https://…), rồi chạy lại."
        )
    name, made, page = opening.read(found, _sheet, opening.house(found), village)
    try:
        out.write_text(page, "utf-8")
    except OSError as error:
        raise Trouble(f"Không ghi được tệp {out}: {reason(error)}.") from error
    say(f"Đã làm {made} thẻ của {name}: {out}. Mở bằng trình duyệt rồi in trên giấy A4.")


def _sheet(session: Session, house: House, village: str) -> tuple[str, int, str]:
    """The village's name, how many cards, and the page to print. Labels are for the head alone."""
    from api.cardsheet import cards_of, standalone

    place = unit_of(session, village)
    if place.kind is not UnitKind.VILLAGE:
        raise Invalid(f"{place.name} không phải thôn, bản.")
    made = cards_of(session, house, place, with_labels=False)
    if not made:
        raise Conflict(f"{place.name} chưa có sổ hộ. Nhập sổ bằng `loa import households` trước.")
    return place.name, len(made), standalone(house, place.name, made)
