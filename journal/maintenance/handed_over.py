"""A directory that is handed over to a worker: as its working directory, in which it is started.

A path may mean another directory by the time that a worker looks at it. Whoever holds the directory
starts the worker in it and says so in the environment; the path that the worker is given is then
only what people call it.
"""

import os
from pathlib import Path
from typing import Final

from ackbook.journal.storage.files import OsFiles
from ackbook.journal.storage.held_directory import HeldDirectory

WORKS_HERE: Final = "ACKBOOK_WORKS_HERE"
"""Set, and not empty: the working directory is the one that the worker is for."""


def handed_over(directory: Path) -> HeldDirectory | None:
    """The one that this process was started in, for `directory`; None where nobody said so."""
    if not os.environ.get(WORKS_HERE):
        return None
    files = OsFiles()
    held = HeldDirectory(files, directory, files.open_dir(Path(".")))
    os.chdir("/")
    return held
