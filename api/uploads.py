"""Files that people attach to a notice: told by their first bytes, because a name or a browser may say anything."""

from collections.abc import Sequence
from pathlib import PurePath

from starlette.datastructures import FormData, UploadFile

from adapters.text import clean
from bot.errors import Invalid
from bot.notices import NewFile
from store.tables import FileKind

PHOTOS: Sequence[tuple[bytes, str]] = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"))
SOUNDS: Sequence[tuple[bytes, str]] = ((b"OggS", "audio/ogg"), (b"ID3", "audio/mpeg"), (b"\xff\xfb", "audio/mpeg"))
OFFICE = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".doc": "application/msword",
    ".xls": "application/vnd.ms-excel",
}
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
NAME = 80


async def files_of(form: FormData, field: str, *, language: str = "") -> list[NewFile]:
    """What was chosen in `field`; an empty field gives nothing. Raises Invalid for a kind that we do not send."""
    return [
        new_file(upload.filename or "", await upload.read(), language=language)
        for upload in form.getlist(field)
        if isinstance(upload, UploadFile) and upload.filename
    ]


def new_file(name: str, content: bytes, *, language: str = "") -> NewFile:
    """A photo, a recording or a document. Raises Invalid for anything else."""
    name = clean(PurePath(name.replace("\\", "/")).name)[-NAME:]
    kind, media_type = _told(name, content)
    return NewFile(
        kind=kind,
        name=name,
        media_type=media_type,
        content=content,
        language=language if kind is FileKind.VOICE else "",
    )


def _told(name: str, content: bytes) -> tuple[FileKind, str]:
    for head, media_type in PHOTOS:
        if content.startswith(head):
            return FileKind.PHOTO, media_type
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return FileKind.PHOTO, "image/webp"
    for head, media_type in SOUNDS:
        if content.startswith(head):
            return FileKind.VOICE, media_type
    if content[4:8] == b"ftyp" and content[8:11] in (b"M4A", b"mp4", b"iso"):
        return FileKind.VOICE, "audio/mp4"
    if content.startswith(b"%PDF-"):
        return FileKind.DOCUMENT, "application/pdf"
    office = OFFICE.get(PurePath(name).suffix.lower())
    if office and content.startswith((ZIP, OLE)):
        return FileKind.DOCUMENT, office
    raise Invalid(f"Không gửi được tệp {name}. Chỉ nhận ảnh, PDF, Word, Excel và ghi âm.", "files")
