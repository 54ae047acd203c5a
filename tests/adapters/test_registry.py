"""Messengers are opened by their name."""

from typing import Any

import pytest

from adapters import registry
from adapters.contract import Opening

ROOMS: Any = None
"""Nothing is posted here."""


def test_a_messenger_is_a_folder_with_settings_and_build():
    assert {"telegram", "webchat"} <= set(registry.names())
    for name in registry.names():
        assert registry.configure(name, {}) is not None


def test_an_unknown_name_is_refused_in_words_that_list_the_known_ones():
    for asked in ("viber", "contract", "registry", "../store", ""):
        with pytest.raises(ValueError, match="telegram, webchat"):
            registry.configure(asked, None)


def test_a_channel_of_the_database_has_values_of_its_own(monkeypatch):
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:from-the-environment")
    assert registry.configure("telegram", None).token() == "1:from-the-environment"
    assert registry.configure("telegram", {"bot_token": "2:its-own"}).token() == "2:its-own"


async def test_a_channel_is_opened_without_speaking_to_anybody():
    opening = Opening(channel="main", public_url="", rooms=ROOMS, hands=ROOMS)
    adapter = registry.open_channel("telegram", registry.configure("telegram", {"bot_token": "1:token"}), opening)
    assert adapter.name == "telegram"
    await adapter.aclose()


def test_a_channel_without_its_token_is_refused_by_the_settings_name(monkeypatch):
    monkeypatch.delenv("TELEGRAM_BOT_TOKEN", raising=False)
    opening = Opening(channel="main", public_url="", rooms=ROOMS, hands=ROOMS)
    with pytest.raises(ValueError, match="TELEGRAM_BOT_TOKEN"):
        registry.open_channel("telegram", registry.configure("telegram", {"bot_token": ""}), opening)
