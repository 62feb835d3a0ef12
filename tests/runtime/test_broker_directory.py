"""The first start makes its directory so that no power cut takes its name back."""

from __future__ import annotations

from pathlib import Path

import pytest

from ackbook.broker.runtime.broker_directory import PARTS, BrokerDirectory
from ackbook.journal import OsFiles, open_log


class Watching(OsFiles):
    """The real files; which directories were synced, and what stood in them then."""

    def __init__(self) -> None:
        super().__init__()
        self.durable: set[Path] = set()

    def sync_dir(self, path: Path) -> None:
        super().sync_dir(path)
        self.durable |= {each for each in path.iterdir() if each.is_dir()}


@pytest.mark.parametrize("place", [".ackbook", "a/b/c/.ackbook"])
def test_every_name_that_a_first_start_makes_is_synced_where_it_stands(
    place: str, tmp_path: Path
) -> None:
    files, directory = Watching(), BrokerDirectory(tmp_path / place)
    directory.make(files)
    open_log(directory.journal, files=files).close()
    made = {directory.directory, directory.journal}
    made |= {directory.directory / part for part in PARTS}
    made |= {each for each in directory.directory.parents if tmp_path in each.parents}
    assert files.durable >= made


def test_what_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    BrokerDirectory(tmp_path / "x").make()
    BrokerDirectory(tmp_path / "x").make()
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o700
