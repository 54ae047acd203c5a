"""What `loa doctor` says of one thing: how it stands, and what to do."""

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """The worse the larger."""

    OK = 0
    WARNING = 1
    BROKEN = 2

    @property
    def words(self) -> str:
        return ("OK", "CẢNH BÁO", "LỖI")[self]


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    subject: str
    words: str
    mend: str = ""


def ok(subject: str, words: str) -> Finding:
    return Finding(Level.OK, subject, words)


def warning(subject: str, words: str, mend: str = "") -> Finding:
    return Finding(Level.WARNING, subject, words, mend)


def broken(subject: str, words: str, mend: str = "") -> Finding:
    return Finding(Level.BROKEN, subject, words, mend)
