"""What a file that a resident sends really is: told by its first bytes, never by what the browser says of it."""

import re
from dataclasses import dataclass
from unicodedata import normalize

from adapters.contract import FileKind

MOST_BYTES = 10 << 20
LONGEST_NAME = 80
OCTETS = "application/octet-stream"

PHOTO, VOICE, DOCUMENT = FileKind.PHOTO, FileKind.VOICE, FileKind.DOCUMENT
STARTS: tuple[tuple[re.Pattern[bytes], FileKind, str], ...] = (
    (re.compile(rb"\xff\xd8\xff"), PHOTO, "image/jpeg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), PHOTO, "image/png"),
    (re.compile(rb"GIF8[79]a"), PHOTO, "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), PHOTO, "image/webp"),
    (re.compile(rb"RIFF....WAVE", re.DOTALL), VOICE, "audio/wav"),
    (re.compile(rb"OggS"), VOICE, "audio/ogg"),
    (re.compile(rb"ID3|\xff[\xfb\xf3\xf2\xfa]"), VOICE, "audio/mpeg"),
    (re.compile(rb"\xff[\xf1\xf9]"), VOICE, "audio/aac"),
    (re.compile(rb"#!AMR"), VOICE, "audio/amr"),
    (re.compile(rb"fLaC"), VOICE, "audio/flac"),
    (re.compile(rb"....ftypM4A", re.DOTALL), VOICE, "audio/mp4"),
    (re.compile(rb"%PDF-"), DOCUMENT, "application/pdf"),
)
BY_CLAIM = ((re.compile(rb"\x1aE\xdf\xa3"), "audio/webm"), (re.compile(rb"....ftyp", re.DOTALL), "audio/mp4"))
"""Boxes that hold sound or moving pictures alike; sound only when the browser says that it recorded sound."""
ZIPPED = {
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "odt": "application/vnd.oasis.opendocument.text",
}
SHOWN = frozenset(media for _, kind, media in STARTS if kind is not DOCUMENT) | {media for _, media in BY_CLAIM}
"""Types that a browser may show inside the page; all others are downloads."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A file as a resident sent it."""

    kind: FileKind
    name: str
    media_type: str
    content: bytes


def read(content: bytes, name: str, claimed: str) -> Sent:
    """Say what this file is. What nobody knows is a document of unknown type."""
    kind, media = _told(content, name, claimed.partition(";")[0].strip().lower())
    return Sent(kind, file_name(name, kind), media, content)


def file_name(name: str, kind: FileKind = DOCUMENT) -> str:
    """A name without folders and control characters, short, its ending kept."""
    bare = re.split(r"[/\\]", normalize("NFC", name))[-1]
    bare = "".join(c for c in bare if c.isprintable()).strip(" .")
    stem, dot, ending = bare.rpartition(".")
    if dot and len(ending) <= 8:
        bare = f"{stem[: LONGEST_NAME - 9]}.{ending}"
    return bare[:LONGEST_NAME] or {PHOTO: "anh", VOICE: "ghi-am"}.get(kind, "tep")


def _told(content: bytes, name: str, claimed: str) -> tuple[FileKind, str]:
    for pattern, kind, media in STARTS:
        if pattern.match(content):
            return kind, media
    for pattern, media in BY_CLAIM:
        if pattern.match(content) and claimed.startswith("audio/"):
            return VOICE, media
    ending = name.rpartition(".")[2].lower()
    if content.startswith(b"PK\x03\x04") and ending in ZIPPED:
        return DOCUMENT, ZIPPED[ending]
    return DOCUMENT, OCTETS
