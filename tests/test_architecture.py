"""What import-linter cannot say without an edit for each messenger, and what the docs promise to name.

Every name is found by looking, so that a new setting, command or messenger is held to the same rule by itself.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest
import regex
import typer.main
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parent.parent
OURS = ("adapters", "api", "bot", "cli", "pictures", "scheduler", "store")
VENDORS = sorted(folder.name for folder in (ROOT / "adapters").iterdir() if any(folder.glob("*.py")))
OPEN_TO_VENDORS = {"adapters.contract", "adapters.http", "adapters.text"}


@pytest.fixture(scope="module")
def imports():
    return grimp.build_graph(*OURS, cache_dir=None)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_messenger_stands_on_the_contract_alone_and_is_known_by_name_alone(imports, vendor):
    folder = f"adapters.{vendor}"
    inside = {folder} | imports.find_descendants(folder)

    reached = {other for module in inside for other in imports.find_modules_directly_imported_by(module)}
    assert reached - inside <= OPEN_TO_VENDORS

    reached_by = {other for module in inside for other in imports.find_modules_that_directly_import(module)}
    assert reached_by <= inside, "adapters.registry opens a messenger by its name; nobody imports it"


def test_the_example_of_settings_names_each_of_them():
    named = set(regex.findall(r"^#?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text("utf-8"), regex.MULTILINE))
    assert sorted(set(variables()) - named) == []


def test_each_setting_command_and_messenger_has_its_heading_in_the_docs():
    headings = [
        line
        for page in sorted((ROOT / "docs").rglob("*.md"))
        for line in page.read_text("utf-8").splitlines()
        if line.startswith("#")
    ]
    wanted = [*variables(), *commands(), *VENDORS]
    assert [name for name in wanted if not any(_names(heading, name) for heading in headings)] == []


def _names(heading: str, name: str) -> bool:
    """The heading holds the whole of `name`: `zalo_oa` does not name `zalo`, nor `loa users` `loa user`."""
    return bool(regex.search(rf"(?<![\w-]){regex.escape(name)}(?![\w-])", heading, regex.IGNORECASE))


def variables() -> list[str]:
    """Each environment variable that the service or one of its messengers reads."""
    owners = ["bot.settings", *(f"adapters.{vendor}" for vendor in VENDORS)]
    found = [name for owner in owners for name in _variables_of(importlib.import_module(owner).Settings)]
    assert "LOA_DATABASE_URL" in found, "the settings are looked for in the wrong place"
    return found


def _variables_of(settings: type[BaseSettings]) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        match field.validation_alias:
            case None:
                yield (settings.model_config.get("env_prefix", "") + name).upper()
            case str(alias):
                yield alias.upper()
            case AliasChoices(choices=choices):
                yield from (choice.upper() for choice in choices if isinstance(choice, str))


def commands() -> list[str]:
    """Each command as it is typed, `loa channel add` included."""
    found = list(_commands_below(typer.main.get_command(importlib.import_module("cli.main").app), "loa"))
    assert "loa serve" in found, "the commands are looked for in the wrong place"
    return found


def _commands_below(command, typed: str) -> Iterator[str]:
    for name, below in getattr(command, "commands", {}).items():
        yield f"{typed} {name}"
        yield from _commands_below(below, f"{typed} {name}")
