"""Snapshots of every released version of the fold, as lines of the present one.

Where archives were let go, a snapshot is the only history there is, so it can be loaded for ever:
a change of the fold or of the lines of a world adds one step here, from the lines of the version
before to those of the new one, and older snapshots go through all steps behind them. A step is
pure, knows the lines of two versions and no struct of today, and is never changed once released;
where records are left, a start holds what it gives against a fold of them.

| version | released with | what its step changes |
|---|---|---|
| 2 | 0.1.0 | the first one that was released |
| 3 | 0.2.0 | nothing: a world may have `lineages` and `forks`, and none of version 2 has any |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

UpgradeStep: TypeAlias = Callable[[Iterator[bytes]], Iterable[bytes]]
"""The lines of a world, without newlines, by one version; by the next one."""


class FoldHistory(msgspec.Struct, frozen=True):
    """The versions of a fold: the `oldest` one that was ever released, and one step for each that
    came after it."""

    oldest: int
    steps: tuple[UpgradeStep, ...] = ()

    @property
    def newest(self) -> int:
        """The present version."""
        return self.oldest + len(self.steps)

    @property
    def loadable(self) -> frozenset[int]:
        """The versions whose snapshots can be loaded."""
        return frozenset(range(self.oldest, self.newest + 1))

    def upgraded(self, blocks: Iterable[bytes], version: int) -> Iterable[bytes]:
        """Blocks of whole lines by this version, as blocks of lines by the newest one. Raises
        `LookupError` for a version that is not loadable, and what a step raises for lines that are
        not of its version: `LookupError` or an error of msgspec."""
        if version not in self.loadable:
            raise LookupError(f"this one loads those of version {self._told}")
        steps = self.steps[version - self.oldest :]
        if not steps:
            return blocks
        lines: Iterable[bytes] = (line for block in blocks for line in block[:-1].split(b"\n"))
        for step in steps:
            lines = step(iter(lines))
        return (line + b"\n" for line in lines)

    @property
    def _told(self) -> str:
        return " or ".join(map(str, sorted(self.loadable)))


def _without_lineages(lines: Iterator[bytes]) -> Iterable[bytes]:
    """Version 2 to 3."""
    return lines


RELEASED: Final = FoldHistory(oldest=2, steps=(_without_lineages,))
"""Those of this fold. A snapshot of each is kept in `tests/projections/golden/snapshots`."""
