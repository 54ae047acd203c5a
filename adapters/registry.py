"""The one place that opens messengers: by name, so that a new one is a folder beside this file and a word in `.env`."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from adapters.contract import Adapter, Opening

HERE = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Every messenger that this release knows."""
    return tuple(sorted(folder.name for folder in HERE.iterdir() if (folder / "__init__.py").is_file()))


def settings_class(name: str) -> Any:
    """What the messenger can be told. Raises ValueError for an unknown name."""
    return _folder(name).Settings


def configure(name: str, values: Mapping[str, str] | None) -> Any:
    """The messenger's settings: of a channel kept in the database, or (None) from the environment and `.env`.

    Raises ValueError in words: for an unknown name, and for a value that is missing or wrong.
    """
    return settings_class(name)(**(values or {}))


def open_channel(name: str, settings: Any, opening: Opening) -> Adapter:
    """One channel of the messenger, which speaks to nobody yet. Raises ValueError when a setting is missing."""
    adapter: Adapter = _folder(name).build(settings, opening)
    return adapter


def _folder(name: str) -> Any:
    if name not in names():
        raise ValueError(f"ADAPTERS: no messenger is called {name!r}. There are: {', '.join(names())}")
    return import_module(f"adapters.{name}")
