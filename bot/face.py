"""What a notice looks like in a chat: pure, from values to messages, the same for the preview and for the post."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from adapters.contract import Button, Buttons, Can, Limits
from adapters.text import Span, Style, Text, bold, cut, plain
from bot import texts
from bot.messages import FileUse, Message
from store.tables import Answer, IssuerKind, NoticeKind, Wanted

ANSWERS: Mapping[Wanted, tuple[Answer, ...]] = {
    Wanted.ACKNOWLEDGE: (Answer.GOT_IT,),
    Wanted.ATTEND: (Answer.JOIN, Answer.ABSENT, Answer.HELP),
    Wanted.NOTHING: (),
}
PRESS = "a"
"""First word of an answer button's token: `a:{code}:{answer}`."""
PREVIEW = "p"
"""The same in a preview, where nothing is counted."""


@dataclass(frozen=True, slots=True)
class Face:
    """The words of one notice."""

    code: str
    kind: NoticeKind
    is_urgent: bool
    issuer: str
    issuer_kind: IssuerKind
    body: str
    at: datetime
    """Local time of issue."""
    wanted: Wanted
    url: str
    """Of its public page; '' when residents cannot reach us."""
    due: datetime | None = None
    """Local time of the deadline."""
    mark: str = ""
    """That it was corrected or recalled: said before everything else."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What one messenger will post."""

    adapter: str
    messages: tuple[Message, ...]


def headline(face: Face) -> str:
    """Says who speaks and how urgent it is: a head's own notice never looks like the commune's."""
    parts = [texts.headline(face.issuer_kind, face.issuer)]
    if face.kind in texts.KIND_HEADLINES:
        parts.append(texts.KIND_HEADLINES[face.kind])
    marks = [face.mark] if face.mark else []
    if face.is_urgent:
        marks.append("🚨 KHẨN")
    return " · ".join([*marks, *parts])


def text_of(face: Face) -> Text:
    """The whole notice: complete without its link."""
    due = f"\n\nHạn: {texts.moment(face.due)}" if face.due else ""
    footer = f"\n\n— {face.issuer}, {texts.day(face.at)} · Mã {face.code}"
    link = (Span(f"\n{face.url}"),) if face.url else ()
    return (bold(headline(face)), Span("\n\n" + face.body + due), Span(footer, Style.ITALIC), *link)


def buttons_of(code: str, wanted: Wanted, figures: Mapping[Answer, str], *, word: str = PRESS) -> Buttons:
    """One button an answer; `figures` stand behind the label, such as "31/62 hộ"."""
    buttons = []
    for answer in ANSWERS[wanted]:
        figure = figures.get(answer, "")
        label = texts.BUTTONS[answer] + (f" · {figure}" if figure else "")
        buttons.append(Button(label, f"{word}:{code}:{answer.value}"))
    return (tuple(buttons),) if buttons else ()


def messages_of(
    face: Face,
    limits: Limits,
    can: Can,
    *,
    qr: FileUse | None,
    files: Sequence[FileUse],
    own_house: str = "",
    preview: bool = False,
) -> tuple[Message, ...]:
    """Everything that a group is sent, one platform call each.

    The text comes first, cut to the messenger's length; the last piece of it carries the buttons and, where the
    messenger takes files and residents can reach the page, the QR code as its picture. Attachments follow: a broken
    file must not hold back the words. `own_house`: an address at which a resident may say which house is theirs.
    """
    picture = qr if qr is not None and Can.FILES in can else None
    pieces = cut(text_of(face), limit=limits.text, last=min(limits.caption, limits.text) if picture else None)
    messages = [Message(piece) for piece in pieces]
    buttons = buttons_of(face.code, face.wanted, {}, word=PREVIEW if preview else PRESS) if Can.BUTTONS in can else ()
    if buttons and own_house.startswith("https://"):
        buttons = (*buttons, (Button(texts.OWN_HOUSE, url=own_house),))
    messages[-1] = replace(messages[-1], buttons=buttons, file=picture)
    if Can.FILES in can:
        messages += [
            Message(plain(f"{face.code} · {file.caption}" if file.caption else face.code), file=file) for file in files
        ]
    return tuple(messages)
