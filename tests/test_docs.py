"""The docs say what the code says: tables taken from it are compared with it, and no link leads nowhere."""

import inspect
from datetime import timedelta
from pathlib import Path

import pytest
import regex

from adapters import contract, registry
from adapters.contract import Can, Opening
from store.outbox import TRANSITIONS
from store.tables import State, Table

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
SCREEN = 45
"""Lines that a screen shows."""
NEEDED = {"telegram": {"bot_token": "1:made-up"}}
"""What a messenger's settings must say before it opens."""
POWERS = sorted(
    name
    for name, found in inspect.getmembers(contract, inspect.isclass)
    if getattr(found, "_is_runtime_protocol", False)
)


def test_the_readme_is_two_screens_at_most():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 2 * SCREEN


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    assert [link for link in _links(page) if not _leads_somewhere(page, link)] == []


def test_every_page_is_reached_from_the_readme():
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in _links(page) if link[0] != "#"]
    assert [str(page) for page in PAGES if page not in seen] == []


@pytest.mark.parametrize("name", registry.names())
def test_an_adapters_table_says_what_the_adapter_declares(name):
    settings = registry.configure(name, NEEDED.get(name, {}))
    adapter = registry.open_channel(name, settings, Opening(channel="main", public_url="", rooms=None, hands=None))  # type: ignore[arg-type]
    assert _table(_section("adapters.md", name)) == _declared(adapter)


def _declared(adapter) -> list[list[str]]:
    limits = adapter.limits
    return [
        ["Can", _names(adapter.can)],
        ["Cannot", _names(~adapter.can)],
        ["Text / caption, UTF-16 units", f"{limits.text} / {limits.caption}"],
        ["In flight", str(limits.in_flight)],
        ["Per second", _or_none(limits.per_second)],
        ["Between two sends to a chat", _or_none(limits.chat_gap and f"{limits.chat_gap / timedelta(seconds=1):g} s")],
        ["Group per minute", _or_none(limits.group_per_minute)],
        ["Powers", ", ".join(power for power in POWERS if isinstance(adapter, getattr(contract, power)))],
    ]


def _names(can: Can) -> str:
    return ", ".join(sorted(flag.name or "" for flag in can))


def _or_none(value: object) -> str:
    return str(value) if value else "–"


def test_the_machine_of_the_outbox_is_the_one_in_the_code():
    rows = _table(_section("data-model.md", "The outbox"))[1:]
    told = {step: (frozenset(frm.split(", ")), to) for step, frm, to, _ in rows}
    real = {step.value: (frozenset(state.value for state in frm), to.value) for step, (frm, to) in TRANSITIONS.items()}
    assert told == real
    assert {state.value for state in State} == set().union(*({*frm, to} for frm, to in real.values()))


def test_every_table_of_the_store_has_its_room():
    told = set(
        regex.findall(r"`(\w+)`", "\n".join(row[1] for row in _table(_section("data-model.md", "Tables by room"))))
    )
    assert told == set(Table.metadata.tables)


def test_decisions_are_listed_in_order():
    files = sorted(file.name for file in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert _links(ROOT / "docs" / "decisions" / "README.md") == files
    assert [file[:4] for file in files] == [f"{number:04}" for number in range(1, len(files) + 1)]


# ---------------------------------------------------------------- reading the docs


def _links(page: Path) -> list[str]:
    """Links and pictures of our own; other hosts are not looked at."""
    found = regex.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    return [link for link in found if not regex.match(r"[a-z]+:", link)]


def _leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(page: Path) -> set[str]:
    headings = regex.findall(r"^#+ (.+)$", page.read_text("utf-8"), regex.MULTILINE)
    return {regex.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _section(page: str, heading: str) -> str:
    text = (ROOT / "docs" / page).read_text("utf-8")
    found = regex.search(rf"^## {regex.escape(heading)}$(.*?)(?=^## |\Z)", text, regex.MULTILINE | regex.DOTALL)
    assert found, f"docs/{page} has no heading {heading}"
    return found[1]


def _table(text: str) -> list[list[str]]:
    """Cells of the first table, its rule and an empty header left out."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in _first_table(text)]
    return [row for row in rows if any(row) and not all(regex.fullmatch(r":?-+:?", cell) for cell in row)]


def _first_table(text: str) -> list[str]:
    found = regex.search(r"(?:^\|.*\|$\n?)+", text, regex.MULTILINE)
    assert found, "no table"
    return found[0].splitlines()
