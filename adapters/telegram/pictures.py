"""Whether Telegram takes a picture as a photo; what it does not take still goes as a document. Pure."""

from collections.abc import Iterator
from dataclasses import replace

from adapters.contract import FileKind, Outbound

# https://core.telegram.org/bots/api#sendphoto (2026-11-21)
MOST_BYTES = 10_000_000
MOST_SIDES = 10_000
"""Width and height together, in pixels."""
MOST_RATIO = 20
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""JPEG markers that tell a size (ITU-T T.81, table B.1)."""
# Telegram never documented its words of refusal.
NO_PHOTO = ("photo_invalid", "image_process_failed", "too big", "too large")


def as_it_fits(message: Outbound) -> Outbound:
    """The message itself, or with its photo as a document when Telegram would not take it as a photo."""
    file = message.file
    if file is None or file.kind is not FileKind.PHOTO or fits(file.content):
        return message
    return as_document(message)


def as_document(message: Outbound) -> Outbound:
    assert message.file is not None
    return replace(message, file=replace(message.file, kind=FileKind.DOCUMENT))


def was_no_photo(message: Outbound, reason: str) -> bool:
    """Telegram refused the photo for being one."""
    is_photo = message.file is not None and message.file.kind is FileKind.PHOTO
    return is_photo and any(mark in reason.casefold() for mark in NO_PHOTO)


def fits(content: bytes) -> bool:
    """True as well for what we cannot measure: Telegram says what it thinks of it."""
    if len(content) > MOST_BYTES:
        return False
    measured = size(content)
    if measured is None or 0 in measured:
        return True
    return sum(measured) <= MOST_SIDES and max(measured) <= MOST_RATIO * min(measured)


def size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG or JPEG."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24:
        return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
    for marker, at in _segments(content):
        if marker in FRAMES and len(content) >= at + 9:
            return int.from_bytes(content[at + 7 : at + 9]), int.from_bytes(content[at + 5 : at + 7])
    return None


def _segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Marker and place of each segment of a JPEG before its picture begins."""
    at = 2 if content.startswith(b"\xff\xd8") else len(content)
    while at + 4 <= len(content) and content[at] == 0xFF:
        if content[at + 1] == 0xFF:  # filling
            at += 1
            continue
        yield content[at + 1], at
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
