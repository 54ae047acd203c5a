"""Everything that we draw, by one renderer: a notice's picture, sheets to print. Knows values, nothing of the house."""

from pictures.renderer import (
    CardWords,
    NoticeWords,
    SetupWords,
    cards_pdf,
    notice_pdf,
    notice_png,
    setup_pdf,
)

__all__ = ["CardWords", "NoticeWords", "SetupWords", "cards_pdf", "notice_pdf", "notice_png", "setup_pdf"]
