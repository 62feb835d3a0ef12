"""Houses for tests: a broker of one's own, or one that a module shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.shell import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A directory without a broker; whatever broker a test starts in it is ended."""
    house = House(tmp_path)
    yield house
    house.close()


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A broker that runs for the tests of a module; each takes names of its own."""
    house = House(tmp_path_factory.mktemp("lived_in"))
    house.up()
    yield house
    house.close()
