"""One commune a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.village import World, a_commune


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_commune(tmp_path) as commune:
        yield commune
