"""`ackbook bundle`: what explains a delivery, in one file to be passed on and opened anywhere.

The slice is a run of records without a hole, since a fold goes over none: from the first one that
the story leans on to the last one that is told of it, with the state before it. So `why`, `replay`
and `cat` say of the bundle what they say of the journal. With --redact it says nothing of what the
messages were about.
"""

from __future__ import annotations

import platform
import re
import secrets
import shlex
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
import msgspec

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.history.world_loading import begin_audit
from ackbook.broker.journal_endings import exit_code_of_verdict
from ackbook.broker.wire.screen_captures import Still
from ackbook.journal import Line
from ackbook.journal import verify as verify_journal
from ackbook.journal.repair.slices import Slice, change_slice, slice_start
from ackbook.projections.analysis.story_range import REACH_BACK_MAX, Extent, extent_of
from ackbook.projections.codec import decode
from ackbook.projections.facts import KINDS, BrokerStarted
from ackbook.projections.ids import position_of
from ackbook.projections.redaction import PROMISE, Redactor
from ackbook.projections.world import serialization
from ackbook.projections.world.fold import World, fold
from ackbook.tools.cli.atomic_file import check_free
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.options import json_option
from ackbook.tools.cli.output import bold, dim, emit, plain, poor, say, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.history.bundle_file import (
    BUNDLE_FORMAT,
    SLICE,
    WORLD,
    Manifest,
    Neighbour,
    Redaction,
    member_of,
    opened_slice,
    pack_bundle,
)
from ackbook.tools.history.captures import SCREENS, kept_stills
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.history.options import past_option
from ackbook.tools.history.redaction_check import redact_line, undecidable
from ackbook.tools.history.worlds import Worlds

_RANGE = re.compile(r"(\d{1,13})\.\.(\d{1,13})")
_SALT_BYTES = 32


@click.command()
@click.argument("id", required=False)
@click.option("--range", "asked_range", metavar="A..B", help="These records instead.")
@click.option(
    "--redact", is_flag=True, help="Replace bodies, keys and secrets by length and salted hash."
)
@click.option(
    "-o",
    "--output",
    "path",
    metavar="FILE",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write it; nothing is replaced.",
)
@json_option
@past_option
def bundle(
    id: str | None,  # noqa: A002 - as the argument is called
    asked_range: str | None,
    redact: bool,
    path: Path,
    as_json: bool,
    place: Place,
) -> None:
    """Put what explains a message or delivery into FILE: records, the state before them, the
    policy, versions, and the screens that evidence was taken from. Needs no broker.

    It opens with --dir FILE in why, replay, cat, report and export, and is checked by `ackbook
    verify --slice FILE`. The exit code is 3 when no record names ID, 7 when one of the records or
    the state before them is no longer known, and 8 when FILE is there already.
    """
    if (id is None) == (asked_range is None):
        raise click.UsageError("name an ID, or records with --range A..B")
    check_free(path, force=False, hint="name another file")
    history = JournalHistory(place)
    extent = _extent(history, id) if id is not None else _range(history, asked_range or "")
    with tempfile.TemporaryDirectory(prefix="ackbook-") as name:
        manifest = _Bundle(history, extent, id, redact).write(Path(name))
        pack_bundle(path, Path(name), manifest)
    if as_json:
        emit({"file": str(path), "first": manifest.first, "last": manifest.last})
    else:
        _show(path, manifest)


def _extent(history: JournalHistory, wanted: str) -> Extent:
    world = _world_long_before(history, wanted)
    extent = extent_of(history.entries(world.seq), wanted, world)
    if extent is None:
        raise Failure(
            ExitCode.NOT_FOUND, f"no record names {wanted}", "ids are shown by: ackbook why"
        )
    return extent


def _world_long_before(history: JournalHistory, wanted: str) -> World:
    """A world before which no record names the id, nor is near enough to be taken along."""
    first = position_of(wanted) or 1
    early = max(0, min(first - 1, history.head()) - REACH_BACK_MAX)
    oldest = history.oldest()
    if early + 1 >= oldest:
        world = Worlds(history).at(early)
        if world.seq == early:
            return world
    return begin_audit(history.directory, oldest, lambda _: False)


def _range(history: JournalHistory, text: str) -> Extent:
    found = _RANGE.fullmatch(text)
    if found is None or not 0 < int(found[1]) <= int(found[2]):
        raise click.BadParameter(f"{text!r} is no range such as 40..60", param_hint="--range")
    first, last = int(found[1]), int(found[2])
    if last > history.head():
        raise Failure(ExitCode.USAGE, f"the journal ends at {history.head()}, before record {last}")
    return Extent(first, last)


class _Bundle:
    """One bundle being made."""

    def __init__(
        self, history: JournalHistory, extent: Extent, asked: str | None, redact: bool
    ) -> None:
        self._history = history
        begin = next(history.lines(extent.first - 1, extent.first), None)
        first = extent.first if begin is None else slice_start(begin)
        self._extent = msgspec.structs.replace(extent, first=first)
        self._asked = asked
        self._redactor = Redactor(secrets.token_bytes(_SALT_BYTES)) if redact else None
        self._journal = history.journal_id() or "0"

    def write(self, directory: Path) -> Manifest:
        """The members as files in `directory`, and what to say of them."""
        extent = self._extent
        world = self._world_before()
        before = self._neighbour(extent.first - 1)
        crc = "00000000" if before is None else before.crc
        part = Slice(self._journal, extent.first, extent.last, crc)
        if before is not None:
            _write(directory / WORLD, map(self._redact_json, serialization.dump(world)))
        _write(directory / SLICE, self._lines(part))
        told = self._told(directory, world)
        brokers, named = self._follow(world)
        stills = [self._still(each) for each in kept_stills(self._history.place, named)]
        if stills:
            _write(directory / SCREENS, map(msgspec.json.encode, stills))
        return Manifest(
            bundle=BUNDLE_FORMAT,
            made_by=version("ackbook"),
            made_at=int(time.time() * 1e6),
            python=platform.python_version(),
            platform=platform.platform(),
            asked=self._asked,
            journal=self._journal,
            first=extent.first,
            last=extent.last,
            fold=serialization.FOLD_VERSION,
            before=before,
            after=None if self._redactor else self._neighbour(extent.last + 1),
            left_out=extent.left_out,
            policy=msgspec.structs.asdict(world.policy),
            brokers=brokers,
            verify=self._verdict(),
            redaction=told,
            files={
                name: member_of(directory / name)
                for name in (SLICE, WORLD, SCREENS)
                if (directory / name).is_file()
            },
        )

    def _world_before(self) -> World:
        """The state before the slice. Raises `Failure` where it is no longer known."""
        through = self._extent.first - 1
        world = Worlds(self._history).at(through)
        if world.seq != through:
            raise Failure(
                ExitCode.LOST, f"the state before record {through + 1} is no longer known",
                "begin the range later",
            )  # fmt: skip
        return world

    def _follow(self, world: World) -> tuple[tuple[str, ...], frozenset[tuple[str, int]]]:
        """Fold the slice: the versions of the brokers in it, and the attempts that it names."""
        brokers: list[str] = []
        named: set[tuple[str, int]] = set()
        for line in self._history.lines(world.seq, self._extent.last):
            entry = decode(line.raw)
            fold(world, entry)
            fact = entry.fact
            if isinstance(fact, BrokerStarted):
                brokers.append(fact.version)
            delivery_id = getattr(fact, "delivery_id", None)
            if isinstance(delivery_id, str):
                named.add((delivery_id, getattr(fact, "attempt", 0)))
        return tuple(dict.fromkeys(brokers)), frozenset(named)

    def _lines(self, part: Slice) -> Iterator[bytes]:
        lines = self._history.lines(part.first - 1, part.last)
        if self._redactor is None:
            yield from (line.raw for line in _without_holes(lines, part))
            return
        redact = partial(redact_line, self._redactor)
        yield from change_slice(part, map(redact, _without_holes(lines, part)))

    def _redact_json(self, encoded: bytes) -> bytes:
        return encoded if self._redactor is None else self._redactor.json(encoded)

    def _still(self, still: Still) -> Still:
        if self._redactor is None:
            return still
        return msgspec.structs.replace(still, rows=tuple(map(self._redactor.row, still.rows)))

    def _neighbour(self, seq: int) -> Neighbour | None:
        lines = self._history.lines(seq - 1, seq) if seq else iter(())
        return next((Neighbour(line.seq, line.crc) for line in lines), None)

    def _verdict(self) -> dict[str, object]:
        found = verify_journal(self._history.directory, kinds=KINDS, full=False)
        return {
            "verdict": found.verdict,
            "exit_code": exit_code_of_verdict(found),
            "damage": [f"{one.file}: {one.what}" for one in found.damage],
        }

    def _told(self, directory: Path, world: World) -> Redaction | None:
        """What was taken out of the members, and what it did. The world is the one before them."""
        if self._redactor is None:
            return None
        extent = self._extent
        entries = self._history.entries(extent.first - 1, extent.last)
        plain = serialization.load(line + b"\n" for line in serialization.dump(world)), entries
        undecided = undecidable(plain, opened_slice(directory))
        return Redaction(
            statement=PROMISE,
            replaced=dict(self._redactor.counts),
            undecidable=tuple(undecided),
        )


def _without_holes(lines: Iterable[Line], part: Slice) -> Iterator[Line]:
    expected = part.first
    for line in lines:
        if line.seq != expected:
            break
        yield line
        expected += 1
    if expected <= part.last:
        raise Failure(ExitCode.LOST, f"record {expected} cannot be read", "take another range")


def _write(path: Path, lines: Iterable[bytes]) -> None:
    with path.open("xb") as file:
        file.writelines(line + b"\n" for line in lines)


def _show(path: Path, manifest: Manifest) -> None:
    count = manifest.last - manifest.first + 1
    size = path.stat().st_size
    extent = f"records {manifest.first} to {manifest.last}"
    tell(f"{bold(plain(str(path)))}: {extent} {dim(f'({count}, {size} bytes)')}")
    if manifest.left_out:
        say(
            f"{poor('left out:')} {len(manifest.left_out)} causes, more than {REACH_BACK_MAX}"
            " records back; the state they led to is there"
        )
    if manifest.redaction is None:
        say(f"{poor('note:')} it holds every text as it stood; --redact takes them out")
    else:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(manifest.redaction.replaced.items()))
        tell(f"  replaced: {kinds or 'nothing'}")
        say(f"{poor('note:')} {manifest.redaction.statement}")
    opens = "replay" if manifest.asked is None else f"why {manifest.asked}"
    tell(f"  open it:  ackbook {opens} --dir {shlex.quote(str(path))}")
