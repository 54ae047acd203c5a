"""What a file really is."""

import io
import zipfile

import pytest

from bot.errors import Invalid
from bot.media import LARGEST_PHOTO, Media, told
from store.tables import FileKind

PNG = b"\x89PNG\r\n\x1a\n"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def zipped(*parts: str) -> bytes:
    """A zipped document of these parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for part in parts:
            archive.writestr(part, "x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "declared", "kind", "media_type"),
    [
        pytest.param(PNG + b"..", "", FileKind.PHOTO, "image/png", id="png"),
        pytest.param(b"\xff\xd8\xff\xe0", "text/html", FileKind.PHOTO, "image/jpeg", id="jpeg by another name"),
        pytest.param(b"RIFF....WEBPVP8 ", "", FileKind.PHOTO, "image/webp", id="webp"),
        pytest.param(b"RIFF....WAVEfmt ", "", FileKind.VOICE, "audio/wav", id="wav"),
        pytest.param(b"OggS....", "", FileKind.VOICE, "audio/ogg", id="ogg"),
        pytest.param(b"ID3....", "", FileKind.VOICE, "audio/mpeg", id="mp3 with a tag"),
        pytest.param(b"\xff\xfb....", "", FileKind.VOICE, "audio/mpeg", id="mp3"),
        pytest.param(b"....ftypM4A ", "", FileKind.VOICE, "audio/mp4", id="m4a"),
        pytest.param(b"....ftypisom", "audio/mp4", FileKind.VOICE, "audio/mp4", id="a phone's recording"),
        pytest.param(b"\x1aE\xdf\xa3", "audio/webm;codecs=opus", FileKind.VOICE, "audio/webm", id="webm"),
        pytest.param(b"%PDF-1.7", "", FileKind.DOCUMENT, "application/pdf", id="pdf"),
        pytest.param(PNG + b"0" * LARGEST_PHOTO, "", FileKind.DOCUMENT, "image/png", id="a photo too large for photos"),
        pytest.param(
            OLE + "WordDocument".encode("utf-16-le"), "", FileKind.DOCUMENT, "application/msword", id="old word"
        ),
    ],
)
def test_a_file_is_what_its_bytes_say(content: bytes, declared: str, kind: FileKind, media_type: str) -> None:
    assert told("tệp", declared, content) == Media(kind, media_type)


def test_office_documents_are_told_by_what_is_inside() -> None:
    assert told("a", "", zipped("[Content_Types].xml", "word/document.xml")).media_type.endswith(".document")
    assert told("a", "", zipped("[Content_Types].xml", "xl/workbook.xml")).media_type.endswith(".sheet")


@pytest.mark.parametrize(
    ("content", "declared", "words"),
    [
        pytest.param(b"MZ\x90\0", "image/png", "phần mềm", id="a windows program"),
        pytest.param(b"\x7fELF", "", "phần mềm", id="a linux program"),
        pytest.param(b"#!/bin/sh", "", "phần mềm", id="a script"),
        pytest.param(zipped("AndroidManifest.xml", "classes.dex"), "", "phần mềm", id="an apk"),
        pytest.param(zipped("word/document.xml", "classes.dex"), "", "phần mềm", id="an apk that plays a document"),
        pytest.param(zipped("word/document.xml", "word/vbaProject.bin"), "", "macro", id="a document with macros"),
        pytest.param(OLE + "Workbook_VBA_PROJECT".encode("utf-16-le"), "", "macro", id="an old document with macros"),
        pytest.param(OLE + b"...", "", "Chỉ nhận", id="an installer in an old container"),
        pytest.param(zipped("ảnh.png"), "", "Chỉ nhận", id="an archive"),
        pytest.param(b"PK\x03\x04" + b"0" * 30, "", "Chỉ nhận", id="a broken archive"),
        pytest.param(b"....ftypisom", "video/mp4", "Chỉ nhận", id="a film"),
        pytest.param(b"<script>alert(1)</script>", "image/png", "Chỉ nhận", id="a page"),
        pytest.param(b"<svg/>", "image/svg+xml", "Chỉ nhận", id="a drawing with scripts"),
        pytest.param(b"", "", "Chỉ nhận", id="nothing"),
    ],
)
def test_what_is_no_use_or_does_harm_is_refused_in_words(content: bytes, declared: str, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        told("giấy-mời.apk", declared, content)
    assert words in refused.value.words
    assert "giấy-mời.apk" in refused.value.words
