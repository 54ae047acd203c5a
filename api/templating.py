"""Pages: Jinja templates that escape everything, and how figures and times look in Vietnamese."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse

from bot import texts

HERE = Path(__file__).parent
STATIC = HERE / "static"
FOREVER = "public, max-age=31536000, immutable"


@cache
def environment(zone: ZoneInfo) -> Environment:
    """The templates, with times shown in `zone`. One for all apps of a process: a template is compiled once."""
    jinja = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., object]] = {
        "time": lambda at: texts.moment(at.astimezone(zone)) if at else "",
        "span": lambda wait: texts.span(wait) if wait is not None else "",
        "number": texts.number,
        "paragraphs": paragraphs,
    }
    jinja.filters |= filters
    jinja.globals["words"], jinja.globals["percent"] = texts, percent
    marks = {file.name: _mark(file) for file in STATIC.iterdir() if file.is_file()}
    # The name of a file changes with what is in it, so that a browser may keep it for ever.
    jinja.globals["static"] = lambda name: f"/static/{name}?v={marks.get(name) or _mark(STATIC / name)}"
    return jinja


def _mark(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()[:10]


def page(request: HTTPConnection, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A page for people. Whoever is signed in is known to it as `me`."""
    jinja: Environment = request.app.state.jinja
    context.setdefault("me", getattr(request.state, "me", None))
    html = jinja.get_template(template).render(path=request.url.path, **context)
    return HTMLResponse(html, status)


def percent(part: int, whole: int) -> int:
    """For a bar: 0 to 100, never 100 while something is missing, never 0 when something is there."""
    if whole <= 0 or part <= 0:
        return 0
    return 100 if part >= whole else min(max(round(100 * part / whole), 1), 99)


def paragraphs(text: str) -> Sequence[Sequence[str]]:
    """Paragraphs as lists of lines."""
    return [block.split("\n") for block in text.replace("\r\n", "\n").split("\n\n") if block.strip()]


def local_input(at: datetime | None, zone: ZoneInfo) -> str:
    """As a `datetime-local` field wants it."""
    return at.astimezone(zone).strftime("%Y-%m-%dT%H:%M") if at else ""


def of_local_input(text: str, zone: ZoneInfo) -> datetime | None:
    """What somebody filled into a `datetime-local` field. Raises ValueError for what is no time."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC) if text.strip() else None
