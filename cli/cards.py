"""`loa cards`: household cards on A4 sheets, as a PDF file to print and cut."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from sqlmodel import Session

from bot.errors import Conflict, Invalid
from bot.house import House
from cli import opening
from cli.say import Trouble, reason, say
from cli.user import unit_of
from store.tables import UnitKind

if TYPE_CHECKING:
    from pictures import CardWords


def cards(
    village: Annotated[str, typer.Argument(metavar="VILLAGE", help="Mã hoặc tên thôn, bản")],
    out: Annotated[Path, typer.Option(help="Tệp PDF để in")],
) -> None:
    """Làm tờ in thẻ QR của các hộ trong một thôn, bản. (A printable sheet of household cards.)"""
    found = opening.settings()
    if not found.residents_url:
        raise Trouble(
            "Chưa có địa chỉ công khai nên mã QR không mở được ở điện thoại của người dân. "
            "Hãy đặt LOA_PUBLIC_URL (https://…), rồi chạy lại."
        )
    from pictures import cards_pdf

    name, made = opening.read(found, _cards, opening.house(found), village)
    try:
        out.write_bytes(cards_pdf(name, made))
    except OSError as error:
        raise Trouble(f"Không ghi được tệp {out}: {reason(error)}.") from error
    say(f"Đã làm {len(made)} thẻ của {name}: {out}. In trên giấy A4, cắt theo đường nét đứt.")


def _cards(session: Session, house: House, village: str) -> "tuple[str, list[CardWords]]":
    """The village's name and its cards. Labels are for the head alone."""
    from api.cardsheet import cards_of

    place = unit_of(session, village)
    if place.kind is not UnitKind.VILLAGE:
        raise Invalid(f"{place.name} không phải thôn, bản.")
    made = cards_of(session, house, place, with_labels=False)
    if not made:
        raise Conflict(f"{place.name} chưa có sổ hộ. Nhập sổ bằng `loa import households` trước.")
    return place.name, made
