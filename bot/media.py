"""What a file really is: told by its bytes, because a name or a browser may say anything. What is no use is refused."""

import io
import re
import zipfile
from dataclasses import dataclass

from bot.errors import Invalid
from store.tables import FileKind

LARGEST_PHOTO = 10 << 20
"""Bytes; a larger one goes as a document (core.telegram.org/bots/api#sendphoto, 2026-11)."""
MOST_PARTS = 5_000
"""Of a zipped document; none that people write has so many."""

PHOTO, VOICE, DOCUMENT = FileKind.PHOTO, FileKind.VOICE, FileKind.DOCUMENT
STARTS: tuple[tuple[re.Pattern[bytes], FileKind, str], ...] = (
    (re.compile(rb"\xff\xd8\xff"), PHOTO, "image/jpeg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), PHOTO, "image/png"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), PHOTO, "image/webp"),
    (re.compile(rb"RIFF....WAVE", re.DOTALL), VOICE, "audio/wav"),
    (re.compile(rb"OggS"), VOICE, "audio/ogg"),
    (re.compile(rb"ID3|\xff[\xfb\xf3\xf2\xfa]"), VOICE, "audio/mpeg"),
    (re.compile(rb"....ftypM4[AB]", re.DOTALL), VOICE, "audio/mp4"),
    (re.compile(rb"%PDF-"), DOCUMENT, "application/pdf"),
)
BOXES: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\x1aE\xdf\xa3"), "audio/webm"),
    (re.compile(rb"....ftyp(?:mp4|iso|dash)", re.DOTALL), "audio/mp4"),
)
"""They hold sound or moving pictures alike: sound when whoever recorded it says so."""
PROGRAMS = re.compile(rb"MZ|\x7fELF|\xca\xfe\xba\xbe|\xce\xfa\xed\xfe|\xcf\xfa\xed\xfe|#!|dex\n")
"""Windows, Linux, Java and macOS, scripts, Android."""
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
OFFICE = "application/vnd.openxmlformats-officedocument."
ZIPPED = {
    "word/document.xml": f"{OFFICE}wordprocessingml.document",
    "xl/workbook.xml": f"{OFFICE}spreadsheetml.sheet",
}
"""By the part that makes them what they are (ECMA-376)."""
OLD_OFFICE = {"WordDocument": "application/msword", "Workbook": "application/vnd.ms-excel"}
"""By the stream that makes them what they are ([MS-DOC] 2.1.1, [MS-XLS] 2.1.2)."""
MACROS = "_VBA_PROJECT"

UNKNOWN = "Không gửi được tệp {}. Chỉ nhận ảnh (JPG, PNG, WEBP), PDF, Word, Excel và ghi âm."
PROGRAM = "Không gửi tệp {}: đây là phần mềm cài đặt hoặc tệp chạy được. Kẻ lừa đảo hay gửi loại tệp này, đừng mở."
WITH_MACROS = "Không gửi tệp {}: trong tệp có lệnh tự chạy (macro). Hãy lưu lại thành .docx, .xlsx hoặc PDF rồi gửi."


@dataclass(frozen=True, slots=True)
class Media:
    kind: FileKind
    media_type: str


def told(name: str, declared: str, content: bytes) -> Media:
    """What the file is. `declared` is the type that its sender claims. Raises Invalid for what we do not pass on."""
    if PROGRAMS.match(content):
        raise Invalid(PROGRAM.format(name), "files")
    for pattern, kind, media_type in STARTS:
        if pattern.match(content):
            is_large = kind is PHOTO and len(content) > LARGEST_PHOTO
            return Media(DOCUMENT if is_large else kind, media_type)
    for pattern, media_type in BOXES:
        if pattern.match(content) and declared.lower().startswith("audio/"):
            return Media(VOICE, media_type)
    if content.startswith(ZIP):
        return Media(DOCUMENT, _zipped(name, content))
    if content.startswith(OLE):
        return Media(DOCUMENT, _old_office(name, content))
    raise Invalid(UNKNOWN.format(name), "files")


def _zipped(name: str, content: bytes) -> str:
    """Told by the parts inside, which are not unpacked."""
    try:
        parts = zipfile.ZipFile(io.BytesIO(content)).namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:  # ValueError: names in a broken alphabet
        raise Invalid(UNKNOWN.format(name), "files") from error
    if any(part == "AndroidManifest.xml" or part.endswith((".dex", ".apk", ".class", ".exe")) for part in parts):
        raise Invalid(PROGRAM.format(name), "files")
    if any(part.endswith("vbaProject.bin") for part in parts):
        raise Invalid(WITH_MACROS.format(name), "files")
    found = [media_type for part, media_type in ZIPPED.items() if part in parts]
    if len(found) != 1 or len(parts) > MOST_PARTS:
        raise Invalid(UNKNOWN.format(name), "files")
    return found[0]


def _old_office(name: str, content: bytes) -> str:
    """Names of streams stand in the container's directory as UTF-16 ([MS-CFB] 2.6.1)."""
    if MACROS.encode("utf-16-le") in content:
        raise Invalid(WITH_MACROS.format(name), "files")
    found = [media_type for stream, media_type in OLD_OFFICE.items() if stream.encode("utf-16-le") in content]
    if len(found) != 1:
        raise Invalid(UNKNOWN.format(name), "files")
    return found[0]
