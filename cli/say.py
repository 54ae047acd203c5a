"""What the commands print: answers on standard output, trouble on standard error, JSON where it was asked for."""

import errno
import json
import sys
from collections.abc import Sequence
from typing import Any

import typer


class Trouble(Exception):
    """What was asked for cannot be done; the text says in words why, and what to do."""


def reason(error: OSError) -> str:
    """Why a file could not be read or written, in words."""
    words = {
        errno.ENOENT: "không có tệp hoặc thư mục này",
        errno.EACCES: "không có quyền",
        errno.EPERM: "không có quyền",
        errno.EISDIR: "đây là thư mục, không phải tệp",
        errno.EEXIST: "đã có một tệp trùng tên",
        errno.ENOTDIR: "đường dẫn đi qua một tệp, không phải thư mục",
        errno.ENOSPC: "ổ đĩa đã đầy",
        errno.EROFS: "ổ đĩa chỉ cho đọc",
        errno.EADDRINUSE: "cổng đang được dùng",
        errno.EADDRNOTAVAIL: "máy này không có địa chỉ đó",
    }
    return words.get(error.errno or 0, error.strerror or str(error))


def say(words: str = "") -> None:
    typer.echo(words)


def trouble(words: str) -> None:
    typer.echo(words, err=True)


def say_json(data: Any) -> None:
    """One JSON document; moments as ISO 8601."""
    typer.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns side by side, the last one as wide as it likes."""
    lines = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask, unless `yes` was said already. Nobody to ask (no terminal) is a refusal in words, never a silent yes."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise Trouble("Không có ai để hỏi lại: hãy chạy trong cửa sổ dòng lệnh, hoặc thêm --yes.")
    return typer.confirm(question)
