"""Rendezvous: where the holders of a journal are found when its directory does not lead to them.

A holder listens in the directory of its broker, and a second time here, under the id of the
journal. So it is found when the directory was removed and restored, or when its socket was, and by
a broker of a copy, which has to know whose agents they are.

A session has one directory for such names, `$XDG_RUNTIME_DIR`, which lives as long as its user is
logged in, and a broker that is started from elsewhere may not know of it. So one is chosen to be
listed in, and all are looked into:

| base | given by |
|---|---|
| `$XDG_RUNTIME_DIR/ackbook` | the session |
| `/run/user/UID/ackbook` | the machine, by the rule that the session follows |
| `/tmp/ackbook-UID` | nobody: it is made here, mode 0700 |
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ackbook.broker.runtime.system.private_paths import check_own, make_private

NAME = "ackbook"


def chosen(journal_id: str, environment: Mapping[str, str]) -> str:
    """The directory in which holders of this journal are listed, which need not be there yet;
    empty where this machine has none that is this user's alone."""
    for base in _bases(environment):
        with suppress(OSError):
            _make(base)
            return str(base / journal_id)
    return ""


def make(directory: Path) -> None:
    """What `chosen` gave, as a directory. Raises `NotPrivate` and OSError."""
    _make(directory.parent)
    make_private(directory)


def all_of(journal_id: str, environment: Mapping[str, str]) -> list[Path]:
    """Every directory in which holders of this journal may be listed, of those that are there and
    are this user's alone: what somebody else listed there would be given our messages."""
    found = []
    for base in _bases(environment):
        with suppress(OSError):
            directory = base / journal_id
            for level in (base, directory):
                check_own(level, level.lstat())
            found.append(directory)
    return found


def _bases(environment: Mapping[str, str]) -> Iterator[Path]:
    given = environment.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(given):
        yield Path(given) / NAME
    user = os.geteuid()
    if given != f"/run/user/{user}":
        yield Path(f"/run/user/{user}") / NAME
    yield Path("/tmp") / f"{NAME}-{user}"


def _make(base: Path) -> None:
    if base.name == NAME:
        check_own(base.parent, base.parent.stat())
    make_private(base)
