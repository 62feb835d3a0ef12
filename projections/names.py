"""Names: texts that look alike, and mean the same, are one name.

An é can be written as one character or as two, and who types it does not know which it was. Unicode
calls such texts canonically equivalent. At the door each name is given its composed form (NFC).
What was recorded before stays as it was recorded, in the folds, too; who asks for it by either form
finds it, since those who compare compare `match_key`.
"""

from __future__ import annotations

from unicodedata import normalize


def canonical(name: str) -> str:
    """The form that a new name is recorded in."""
    return name if name.isascii() else normalize("NFC", name)


def forms(name: str) -> tuple[str, ...]:
    """How the name may have been recorded before there was one form: as it is written first."""
    if name.isascii():
        return (name,)
    return tuple(dict.fromkeys((name, normalize("NFC", name), normalize("NFD", name))))


def match_key(name: str) -> str:
    """The same for two names that are one: in any case, and in any of their forms."""
    if name.isascii():
        return name.casefold()
    return normalize("NFD", normalize("NFD", name).casefold())


def is_path_step(name: str) -> bool:
    """Whether this is no name but a step in a path, which somebody might take for one."""
    return name.lstrip("#@") in (".", "..")
