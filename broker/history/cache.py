"""What was worked out once and need not be worked out again: files that may vanish at any time.

An entry comes back as it was put there, or not at all: one that is damaged is removed, and a
directory that cannot be written keeps nothing. So a cache is worth time and never truth, and all of
it may be deleted. It is bounded: what was not used for longest goes first.

This module knows names and bytes; what makes a name right is its user's business.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

BYTES_MAX = 512 * 1024 * 1024
"""Of all entries of one user. A world of usual size takes about half a megabyte, packed."""

_DIGEST_BYTES = 32
_PACKING = 1
"""Of nine levels; the others take several times as long for a little less."""


def cache_directory() -> Path:
    """Where this user's programs keep what they can make again. Who has no home keeps nothing."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    base = named if os.path.isabs(named) else os.path.expanduser("~/.cache")
    return Path(base if os.path.isabs(base) else os.devnull) / "ackbook"


class Cache:
    """One folder of entries in the cache directory. `bytes_max` bounds the whole directory."""

    def __init__(self, root: Path, folder: str, bytes_max: int = BYTES_MAX) -> None:
        self._root = root
        self._folder = root / folder
        self._bytes_max = bytes_max

    def names(self) -> list[str]:
        """What may be asked for, in the order of the names."""
        try:
            return sorted(name for name in os.listdir(self._folder) if not name.startswith("."))
        except OSError:
            return []

    def get(self, name: str) -> bytes | None:
        """The content that was put under this name; None where there is none that is whole."""
        path = self._folder / name
        try:
            kept = path.read_bytes()
        except OSError:
            return None
        content = _unpacked(kept)
        with suppress(OSError):
            if content is None:
                path.unlink()
            else:
                os.utime(path)
        return content

    def put(self, name: str, content: bytes) -> None:
        """Keep it, if that is possible; readers see all of it or nothing."""
        packed = zlib.compress(content, _PACKING)
        temporary = self._folder / f".{name}.{os.getpid()}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                temporary.write_bytes(sha256(packed).digest() + packed)
                temporary.replace(self._folder / name)
            finally:
                temporary.unlink(missing_ok=True)
            self._trim()
        except OSError:
            return

    def _trim(self) -> None:
        found = sorted(self._sizes(), reverse=True)
        kept = 0
        for _, size, path in found:
            kept += size
            if kept > self._bytes_max:
                path.unlink(missing_ok=True)

    def _sizes(self) -> Iterator[tuple[int, int, Path]]:
        """When each entry was last used, its size and its place."""
        for path in self._root.rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file():
                    status = path.stat()
                    yield status.st_mtime_ns, status.st_size, path


def _unpacked(kept: bytes) -> bytes | None:
    packed = kept[_DIGEST_BYTES:]
    if sha256(packed).digest() != kept[:_DIGEST_BYTES]:
        return None
    try:
        return zlib.decompress(packed)
    except zlib.error:
        return None
