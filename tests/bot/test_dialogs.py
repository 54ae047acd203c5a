"""Conversations as the commune's staff can read and write them: tests/bot/dialogs/*.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.village import World

FOLDER = Path(__file__).parent / "dialogs"
CONVERSATIONS = [
    pytest.param(conversation["steps"], id=f"{path.stem}: {conversation['name']}")
    for path in sorted(FOLDER.glob("*.yaml"))
    for conversation in yaml.safe_load(path.read_text(encoding="utf-8"))
]


@pytest.fixture
def two_villages(world: World) -> World:
    """Heads "trưởng bản 1" and "trưởng bản 2", groups "nhóm bản 1" and "nhóm bản 2", four households each."""
    for number in (1, 2):
        village = world.villages[number - 1]
        world.group(village, f"nhóm bản {number}")
        world.households(village, 4)
        world.linked(world.head(number - 1), f"trưởng bản {number}")
    return world


@pytest.mark.parametrize("steps", CONVERSATIONS)
def test_conversation(two_villages: World, steps: list[dict[str, Any]]) -> None:
    for step in steps:
        where = step.get("in", "")
        if "say" in step:
            said = two_villages.type(step["who"], step["say"], group=where)
            if not step["answer"]:
                assert said == [], step
            for words in step["answer"]:
                assert words in "\n".join(said), step
        else:
            told = two_villages.press(step["who"], step["press"], chat=where)
            assert step["told"] in told, step
