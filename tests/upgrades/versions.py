"""What released versions left behind, as it stands in this folder: see the README beside it.

Nothing in it is ever written again, so everything here works on copies.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Left:
    """What one version left behind."""

    version: str

    @property
    def path(self) -> Path:
        return HERE / self.version

    def copy(self, into: Path) -> Path:
        """The directory, to be used up. Git keeps no empty folder, and a broker makes its own."""
        return shutil.copytree(self.path / "directory", into / "directory")

    def answer(self, verb: str) -> Any:
        """What the version itself answered, with `--json`: one object."""
        return json.loads((self.path / "answers" / f"{verb}.json").read_bytes())

    def answers(self, verb: str) -> list[Row]:
        """The same, one object a line."""
        packed = (self.path / "answers" / f"{verb}.jsonl.gz").read_bytes()
        return list(map(json.loads, gzip.decompress(packed).splitlines()))

    def heard(self, day: str) -> list[Row]:
        """What its broker and its holders said to each other."""
        return _rows(self.path / "holder" / f"{day}.jsonl")

    def upgraded(self) -> list[Row]:
        """What its broker answered once its package was gone."""
        return _rows(self.path / "upgraded.jsonl")


VERSIONS = [Left(path.name) for path in sorted(HERE.glob("[0-9]*")) if path.is_dir()]


def only_more(now: object, then: object, where: str = "") -> Iterator[str]:
    """Where what is said now takes something back of what was said then: a key may be new, and
    nothing else may differ."""
    match now, then:
        case dict(), dict():
            for key, value in then.items():
                if key in now:
                    yield from only_more(now[key], value, f"{where}.{key}")
                else:
                    yield f"{where}.{key} is gone"
        case list(), list() if len(now) == len(then):
            for number, pair in enumerate(zip(now, then, strict=True)):
                yield from only_more(*pair, f"{where}[{number}]")
        case _ if now != then:
            yield f"{where}: {then!r} was said, and now {now!r}"


def _rows(path: Path) -> list[Row]:
    return list(map(json.loads, path.read_bytes().splitlines()))
