"""`loa cards`: a printable sheet of household cards. One file, no script, nothing from another host."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from sqlmodel import Session, col, select

from bot import households
from bot.errors import Conflict, Invalid
from bot.house import House
from cli import opening
from cli.say import Trouble, reason, say
from cli.user import unit_of
from store.tables import Household, UnitKind

SHEET = Path(__file__).with_name("sheet.html")


@dataclass(frozen=True, slots=True)
class Card:
    number: int
    address: str


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
    name, made = opening.read(found, _cards, opening.house(found), village)
    try:
        out.write_text(sheet(name, made), "utf-8")
    except OSError as error:
        raise Trouble(f"Không ghi được tệp {out}: {reason(error)}.") from error
    say(f"Đã làm {len(made)} thẻ của {name}: {out}. Mở bằng trình duyệt rồi in trên giấy A4.")


def sheet(village: str, made: list[Card]) -> str:
    """The page to print."""
    import segno
    from jinja2 import Environment, StrictUndefined

    drawn = [
        # Level M and a quiet zone of four modules: what ISO/IEC 18004 asks of a code that is photographed from paper.
        (card.number, segno.make(card.address, error="m", micro=False).svg_inline(omitsize=True, border=4))
        for card in made
    ]
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(SHEET.read_text("utf-8"))
    return page.render(village=village, cards=drawn)


def _cards(session: Session, house: House, village: str) -> tuple[str, list[Card]]:
    place = unit_of(session, village)
    if place.kind is not UnitKind.VILLAGE:
        raise Invalid(f"{place.name} không phải thôn, bản.")
    open_ones = (
        select(Household)
        .where(Household.unit_id == place.id, col(Household.closed_at).is_(None))
        .order_by(col(Household.number))
    )
    found = [
        Card(household.number, f"{house.public_url}/h/{households.card_token(house, household)}")
        for household in session.exec(open_ones)
    ]
    if not found:
        raise Conflict(f"{place.name} chưa có sổ hộ. Nhập sổ bằng `loa import households` trước.")
    return place.name, found
