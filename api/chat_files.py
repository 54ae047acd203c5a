"""Files that residents send in the web chat."""

import re
from dataclasses import dataclass
from unicodedata import normalize

from adapters.contract import FileKind
from bot import media

MOST_BYTES = 10 << 20
LONGEST_NAME = 80
OCTETS = "application/octet-stream"

SHOWN = frozenset(
    [found for _, kind, found in media.STARTS if kind is not media.DOCUMENT] + [found for _, found in media.BOXES]
)
"""Types that a browser may show inside the page; all others are downloads."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A file as a resident sent it."""

    kind: FileKind
    name: str
    media_type: str
    content: bytes


def read(content: bytes, name: str, claimed: str) -> Sent:
    """The file as what it really is. Raises Invalid, in words, for a kind that we do not pass on."""
    found = media.told(file_name(name), claimed, content)
    kind = FileKind(found.kind.value)
    return Sent(kind, file_name(name, kind), found.media_type, content)


def file_name(name: str, kind: FileKind = FileKind.DOCUMENT) -> str:
    """A name without folders and control characters, short, its ending kept."""
    bare = re.split(r"[/\\]", normalize("NFC", name))[-1]
    bare = "".join(c for c in bare if c.isprintable()).strip(" .")
    stem, dot, ending = bare.rpartition(".")
    if dot and len(ending) <= 8:
        bare = f"{stem[: LONGEST_NAME - 9]}.{ending}"
    return bare[:LONGEST_NAME] or {FileKind.PHOTO: "anh", FileKind.VOICE: "ghi-am"}.get(kind, "tep")
