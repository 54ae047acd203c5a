"""Files that people attach to a notice in a form."""

from pathlib import PurePath

from starlette.datastructures import FormData, UploadFile

from adapters.text import clean
from bot import media
from bot.notices import NewFile
from store.tables import FileKind

NAME = 80


async def files_of(form: FormData, field: str, *, language: str = "") -> list[NewFile]:
    """What was chosen in `field`; an empty field gives nothing. Raises Invalid for a kind that we do not send."""
    return [
        new_file(upload.filename or "", upload.content_type or "", await upload.read(), language=language)
        for upload in form.getlist(field)
        if isinstance(upload, UploadFile) and upload.filename
    ]


def new_file(name: str, declared: str, content: bytes, *, language: str = "") -> NewFile:
    """A photo, a recording or a document. Raises Invalid for anything else."""
    name = clean(PurePath(name.replace("\\", "/")).name)[-NAME:]
    found = media.told(name, declared, content)
    return NewFile(
        kind=found.kind,
        name=name,
        media_type=found.media_type,
        content=content,
        language=language if found.kind is FileKind.VOICE else "",
    )
