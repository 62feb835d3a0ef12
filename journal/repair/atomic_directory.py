"""A directory that appears whole or not at all: what a backup and a salvage write into.

A journal of which only the first files were copied would open as a shorter one. So everything goes
into `NAME.partial` beside the target, is synced there, and gets its name in one step. A `.partial`
that an interrupted attempt left is emptied and used again, when there is nothing in it that a
journal does not write.
"""

from pathlib import Path

from ackbook.journal.errors import TargetTaken
from ackbook.journal.format.layout import ARCHIVE, list_directory
from ackbook.journal.storage.files import Files


def begin_directory(files: Files, target: Path) -> Path:
    """An empty directory to fill. Raises `TargetTaken` when the target holds anything."""
    _check_free(files, target)
    partial = target.with_name(target.name + ".partial")
    if list_directory(files, partial).unknown:
        raise TargetTaken(f"{partial} holds what no journal writes", "name another directory")
    files.make_dir(partial)
    for directory in (partial / ARCHIVE, partial):
        for name in _names(files, directory):
            if name != ARCHIVE:
                files.unlink(directory / name)
    return partial


def publish_directory(files: Files, partial: Path, target: Path) -> None:
    """Give it its name. Every file in it was synced before. Raises `TargetTaken` when something
    else has the name by now."""
    if ARCHIVE in _names(files, partial):
        files.sync_dir(partial / ARCHIVE)
    files.sync_dir(partial)
    _check_free(files, target)
    files.rename(partial, target)
    files.sync_dir(target.parent)


def _check_free(files: Files, target: Path) -> None:
    if _names(files, target):
        raise TargetTaken(f"{target} is not empty", "name a directory that is not there yet")


def _names(files: Files, directory: Path) -> list[str]:
    try:
        return list(files.entries(directory))
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise TargetTaken(f"{directory} is no directory", "name another one") from None
