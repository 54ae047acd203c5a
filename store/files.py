"""Files by their content: the same bytes are kept once."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlmodel import Session, select

from store.tables import StoredFile


@dataclass(frozen=True, slots=True)
class Kept:
    media_type: str
    content: bytes


def keep(session: Session, content: bytes, media_type: str, *, now: datetime) -> int:
    """Keep the bytes; returns the file's id, an old one when they are known."""
    digest = sha256(content).hexdigest()
    known = session.exec(select(StoredFile.id).where(StoredFile.sha256 == digest)).first()
    if known is not None:
        return known
    file = StoredFile(sha256=digest, media_type=media_type, size=len(content), content=content, created_at=now)
    session.add(file)
    session.flush()
    assert file.id is not None
    return file.id


def load(session: Session, file_id: int) -> Kept | None:
    file = session.get(StoredFile, file_id)
    return None if file is None else Kept(file.media_type, file.content)
