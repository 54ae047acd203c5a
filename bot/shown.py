"""A kept notice as values to be shown: its words, its attachments, its address."""

from datetime import datetime

from sqlmodel import Session, col, select

from adapters import contract
from bot import texts
from bot.face import Face
from bot.house import House
from bot.messages import FileUse
from store.tables import Attachment, FileKind, Issuer, Notice, NoticeRevision, NoticeState, StoredFile, Wanted

TITLE = 80


def body_of(session: Session, notice: Notice) -> str:
    return session.get_one(NoticeRevision, (notice.id, notice.revision)).body


def title_of(session: Session, notice: Notice) -> str:
    """How the notice begins, short enough for a list."""
    line = body_of(session, notice).split("\n", 1)[0]
    return line if len(line) <= TITLE else f"{line[: TITLE - 1].rstrip()}…"


def url_of(house: House, code: str) -> str:
    """Of the public page; '' when residents cannot reach us."""
    return f"{house.public_url}/tb/{code}" if house.public_url else ""


def face_of(session: Session, house: House, notice: Notice, *, now: datetime) -> Face:
    """What the notice says now. Of a recalled one nothing is asked any more."""
    is_recalled = notice.state is NoticeState.RECALLED
    return Face(
        code=notice.code,
        kind=notice.kind,
        is_urgent=notice.is_urgent,
        issuer=notice.issuer_name,
        issuer_kind=session.get_one(Issuer, notice.issuer_id).kind,
        body=body_of(session, notice),
        at=house.local(notice.published_at or now),
        wanted=Wanted.NOTHING if is_recalled else notice.wanted,
        url=url_of(house, notice.code),
        due=house.local(notice.due_at) if notice.due_at and not is_recalled else None,
        mark=texts.MARK_RECALLED if is_recalled else texts.MARK_CORRECTED if notice.revision > 1 else "",
    )


def uses_of(session: Session, notice: Notice) -> list[FileUse]:
    """The notice's attachments as files of a message."""
    rows = session.exec(
        select(Attachment, StoredFile.media_type)
        .join(StoredFile, col(StoredFile.id) == Attachment.file_id)
        .where(Attachment.notice_id == notice.id)
        .order_by(col(Attachment.position))
    ).all()
    return [file_use(row.file_id, row.kind, row.name, media_type, row.language) for row, media_type in rows]


def file_use(file_id: int, kind: FileKind, name: str, media_type: str, language: str) -> FileUse:
    """A kept file as residents will see it: a document by its name, a recording by its language."""
    captions = {FileKind.DOCUMENT: name, FileKind.VOICE: texts.recording(language), FileKind.PHOTO: ""}
    return FileUse(file_id, contract.FileKind(kind.value), name, media_type, captions[kind])
