"""A room's message as the page shows it."""

import re
from dataclasses import dataclass
from datetime import datetime

from jinja2 import Environment
from markupsafe import Markup, escape

from adapters.contract import Button, FileKind
from adapters.text import Span, Style, Text, joined, plain
from api.chat_files import SHOWN
from bot.messages import of_payload
from bot.texts import ROLES
from store.rooms import Shown

US = "Loa bản"
CODE = re.compile(r"(?<![A-Z0-9-])TB-[0-9A-Z]{4,8}(?![A-Z0-9])")
"""A notice's short code, wherever it stands in a text."""
ADDRESS_OR_CODE = re.compile(rf"https?://[^\s<>\"]*[^\s<>\".,;:!?)]|{CODE.pattern}")
TAGS = {Style.BOLD: "b", Style.ITALIC: "i", Style.CODE: "code"}
LONGEST_QUOTE = 90
START = re.compile(r"/start(?:@\w+)?\s+(h_)?\S.*", re.DOTALL)
CARD_SCANNED = "Quét thẻ hộ"


@dataclass(frozen=True, slots=True)
class File:
    kind: str
    name: str
    shown: bool
    """The browser may show it in the page; else it is a download."""


@dataclass(frozen=True, slots=True)
class Line:
    """One message for the templates."""

    id: int
    look: str
    """mine | theirs | ours | notice | note"""
    author: str
    duty: str
    body: Markup
    buttons: tuple[tuple[Button, ...], ...]
    file: File | None
    at: datetime
    reply_to: str | None
    quote: str
    client_id: str
    """The browser's own id of a message of its own, to know it again; '' otherwise."""


def line(shown: Shown, viewer: int | None) -> Line:
    """The message as this account sees it."""
    message = of_payload(shown.payload)
    is_ours = shown.account_id is None
    file = None
    if message.file:
        is_shown = message.file.media_type in SHOWN and message.file.kind is not FileKind.DOCUMENT
        file = File(message.file.kind.value, message.file.name, is_shown)
    is_mine = not is_ours and shown.account_id == viewer
    return Line(
        id=shown.id,
        look=_look(shown, joined(message.text), is_mine=is_mine),
        author=US if is_ours else "Bạn" if is_mine else f"Bà con {shown.account_id}",
        duty=ROLES[shown.duty] if shown.duty else "",
        body=rich(message.text if is_ours else in_sight(message.text), links=is_ours),
        buttons=tuple(tuple(b for b in row if b.token or _is_web(b.url)) for row in message.buttons) if is_ours else (),
        file=file,
        at=shown.at,
        reply_to=shown.reply_to,
        quote=_short(joined(in_sight(of_payload(shown.quoted).text))) if shown.quoted else "",
        client_id=shown.key.rpartition(":")[2] if is_mine else "",
    )


def fragment(jinja: Environment, shown: Shown, viewer: int | None, base: str) -> str:
    """The message's HTML, as the page itself holds it."""
    return jinja.get_template("chat_message.html").render(m=line(shown, viewer), base=base, form_token="").strip()


def in_sight(text: Text) -> Text:
    """What a resident wrote, without the code of a link that was opened: a card's is as good as the card."""
    found = START.fullmatch(joined(text))
    return plain(CARD_SCANNED if found[1] else "/start") if found else text


def rich(text: Text, *, links: bool) -> Markup:
    """Spans as HTML. Codes of notices lead to their page; other addresses are links only in our own messages."""
    return Markup("").join(_span(span, links=links) for span in text)


def _span(span: Span, *, links: bool) -> Markup:
    if links and _is_web(span.url):
        inner = _link(span.url, span.text)
    else:
        inner = _with_links(span.text, ADDRESS_OR_CODE if links else CODE)
    tag = TAGS.get(span.style)
    return Markup(f"<{tag}>{{}}</{tag}>").format(inner) if tag else inner  # noqa: S704 - the tag is one of ours


def _with_links(text: str, wanted: re.Pattern[str]) -> Markup:
    parts, end = [], 0
    for found in wanted.finditer(text):
        link = _link(found[0], found[0]) if _is_web(found[0]) else Markup('<a href="/tb/{0}">{0}</a>').format(found[0])
        parts += [escape(text[end : found.start()]), link]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def _link(url: str, words: str) -> Markup:
    return Markup('<a href="{}" rel="noopener noreferrer" target="_blank">{}</a>').format(url, words)


def _look(shown: Shown, text: str, *, is_mine: bool) -> str:
    if is_mine:
        return "mine"
    if shown.account_id is not None:
        return "theirs"
    if shown.only_account_id is not None:
        return "note"
    # What the house posts with a notice's code in it, and not as an answer to somebody, is the notice.
    return "notice" if CODE.search(text) and shown.reply_to is None else "ours"


def _is_web(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE - 1].rstrip()}…"
