"""Damages journals at random and starts on each: it refuses, or has the world that was there.

`python -m tests.runtime.damage --cases 20000 --seed 1` runs them on all cores, prints the counts,
and ends with 1 when a start came to another world in silence, naming the case. A case is its seed:
the same seed does the same damage to the same journal, whose files are kept in `golden/`.

What a start may do: refuse; or begin with exactly the world that the undamaged journal has at the
record that it begins behind. That record is the last one that was acknowledged, unless HEAD cannot
be read, which the report of the start says. And a reader gives no record that was not there, nor
leaves one out without a word.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from random import Random

import msgspec

from ackbook.broker.history.world_loading import LOADABLE, begin_world, confirm_world, fold_rest
from ackbook.journal import (
    JournalError,
    Position,
    Reader,
    newest_snapshots,
    open_log,
    salvage,
    write_snapshot,
)
from ackbook.journal.format.compression import unpack
from ackbook.journal.format.head import read_head
from ackbook.journal.storage.files import Handle, OsFiles
from ackbook.projections.codec import decode
from ackbook.projections.facts import KINDS
from ackbook.projections.world.fold import World, fold
from ackbook.projections.world.serialization import FOLD_VERSION, dump, load
from tests.journal.damaged_corpus import CORPUS
from tests.upgrades.versions import VERSIONS

GOLDEN = Path(__file__).parent / "golden" / "damage"
DAMAGES = (1, 1, 1, 2, 3)
"""How much happens to a journal: mostly one thing."""

BROKEN = ("another_world", "forgotten", "phantom", "unsaid", "error")


class Hasty(OsFiles):
    """The real files without a sync: nobody cuts the power here."""

    def sync(self, handle: Handle) -> None:
        """Nothing."""

    def sync_dir(self, path: Path) -> None:
        """Nothing."""


class Pattern(msgspec.Struct, frozen=True):
    """A whole journal: its lines and its world after each record, from where it is known."""

    name: str
    directory: Path
    head: int
    lines: dict[int, bytes]
    worlds: dict[int, tuple[bytes, ...]]


class Broken(Exception):
    """A promise that did not hold."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


# --- the journals


def _whole(journal: Path) -> None:
    """Segments alone, after a kill."""
    shutil.copytree(CORPUS / "whole" / "journal", journal)


def _archived(journal: Path) -> None:
    """Archives, and snapshots that nobody can load any more."""
    shutil.copytree(CORPUS / "compacted" / "journal", journal)


def _compacted(journal: Path) -> None:
    """Archives, and two snapshots of the present fold."""
    _archived(journal)
    for path in sorted(journal.glob("snapshot-*")):
        seq = int(path.stem.partition("-")[2])
        reader, world = Reader(journal), World()
        lines = list(reader.lines(0, seq))
        for line in lines:
            fold(world, decode(line.raw))
        write_snapshot(
            journal,
            journal_id=reader.journal_id or "",
            position=Position(seq, lines[-1].at, lines[-1].crc),
            fold_version=FOLD_VERSION,
            lines=dump(world),
        )


def _left_over(journal: Path) -> None:
    """A compaction that was interrupted before it removed two segments."""
    _compacted(journal)
    for archive in sorted(journal.glob("archive/*"))[1:3]:
        content = unpack(archive.name, archive.read_bytes())
        (journal / f"{archive.name[:20]}.jsonl").write_bytes(content)


def _released(journal: Path) -> None:
    """What 0.1.0 left, with its archive as every machine can unpack it."""
    shutil.copytree(VERSIONS[0].path / "directory" / "journal", journal)
    for archive in journal.glob("archive/*.zst"):
        content = unpack(archive.name, archive.read_bytes())
        archive.with_suffix(".gz").write_bytes(gzip.compress(content, mtime=0))
        archive.unlink()


def _let_go(journal: Path) -> None:
    """Archives are gone on purpose: two snapshots are all that is known of the beginning."""
    shutil.copytree(GOLDEN / "let_go", journal)


def _salvaged(journal: Path) -> None:
    """A loss that somebody accepted."""
    salvage(CORPUS / "flipped_in_a_sealed_segment" / "journal", journal)


MADE: tuple[Callable[[Path], None], ...] = (
    _whole,
    _archived,
    _compacted,
    _left_over,
    _released,
    _let_go,
    _salvaged,
)


@cache
def patterns() -> tuple[Pattern, ...]:
    """All of them, in a directory of this process."""
    root = Path(tempfile.mkdtemp(prefix="ackbook-damage-"))
    return tuple(_pattern(make, root) for make in MADE)


def _pattern(make: Callable[[Path], None], root: Path) -> Pattern:
    name = make.__name__.strip("_")
    make(root / name)
    reader = Reader(root / name)
    world = World()
    if reader.first_seq > 1:
        oldest = newest_snapshots(root / name, LOADABLE).usable[-1]
        world = load(oldest.blocks(), oldest.fold_version)
    lines = {line.seq: line.raw for line in reader.lines()}
    worlds = {world.seq: tuple(dump(world))}
    for seq, raw in lines.items():
        if seq > world.seq:
            fold(world, decode(raw))
            worlds[seq] = tuple(dump(world))
    assert not reader.damage, reader.damage
    return Pattern(name, root / name, reader.head(), lines, worlds)


# --- the damage


Harm = Callable[[Random, Path], str]


def _some_file(random: Random, journal: Path) -> Path:
    files = sorted(p for p in journal.rglob("*") if p.is_file() and p.name != "LOCK")
    return random.choice(files)


def _edit(random: Random, path: Path, change: Callable[[Random, bytes], bytes]) -> str:
    """Of an archive mostly what it holds: it is packed again, as if rot had come before that."""
    content = path.read_bytes()
    if path.suffix == ".gz" and random.random() < 0.5:
        with contextlib.suppress(OSError, EOFError, zlib.error):
            inside = change(random, gzip.decompress(content))
            path.write_bytes(gzip.compress(inside, mtime=0))
            return f"in {path.name}, packed again"
    room = len(content) - len(content.rstrip(b"\n"))
    path.write_bytes(change(random, content.rstrip(b"\n") + b"\n" * min(room, 8)))
    return f"in {path.name}"


def _flip(random: Random, content: bytes) -> bytes:
    if not content:
        return content
    place = random.randrange(len(content))
    return (
        content[:place]
        + bytes([content[place] ^ (1 << random.randrange(8))])
        + content[place + 1 :]
    )


def _overwrite(random: Random, content: bytes) -> bytes:
    start = random.randrange(len(content) + 1)
    size = min(random.randrange(1, 600), len(content) - start)
    filling = random.choice((bytes(size), b"\n" * size, random.randbytes(size), b" " * size))
    return content[:start] + filling + content[start + size :]


def _cut(random: Random, content: bytes) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _cut_front(random: Random, content: bytes) -> bytes:
    return content[random.randrange(len(content) + 1) :]


def _cut_at_a_line(random: Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(lines[: random.randrange(len(lines) + 1)])


def _drop_lines(random: Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    start = random.randrange(len(lines) + 1)
    return b"".join(lines[:start] + lines[start + random.randrange(1, 4) :])


def _swap_lines(random: Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    if len(lines) > 1:
        one, other = random.sample(range(len(lines)), 2)
        lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def _double_a_line(random: Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    place = random.randrange(len(lines) + 1)
    return b"".join(lines[: place + 1] + lines[place : place + 1] + lines[place + 1 :])


def _append(random: Random, content: bytes) -> bytes:
    return content.rstrip(b"\n") + b"\n" + random.randbytes(random.randrange(1, 300))


def _remove(random: Random, journal: Path) -> str:
    path = _some_file(random, journal)
    path.unlink()
    return f"{path.name} is gone"


def _swap_files(random: Random, journal: Path) -> str:
    one, other = _some_file(random, journal), _some_file(random, journal)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    return f"{one.name} and {other.name} are swapped"


def _rename(random: Random, journal: Path) -> str:
    """Over another one of its kind, or away."""
    one, other = _some_file(random, journal), _some_file(random, journal)
    one.replace(other)
    return f"{one.name} is called {other.name}"


def _replace(random: Random, journal: Path) -> str:
    """By the file of the same name in another journal, or in this one as it was some time else. An
    older HEAD is left out: with an older tail it is an older backup, which only a token knows."""
    path = _some_file(random, journal)
    name = path.relative_to(journal)
    others = sorted(CORPUS.glob(f"*/journal/{name}"))
    if not others or path.name == "HEAD":
        return "nothing"
    other = random.choice(others)
    path.write_bytes(other.read_bytes())
    return f"{name} is that of {other.parts[-len(name.parts) - 2]}"


def _forget_the_end(random: Random, journal: Path) -> str:
    """The last lines go, and something becomes of HEAD, which vouched for them."""
    tail, head = max(journal.glob("0*.jsonl"), default=None), journal / "HEAD"
    if tail is None:
        return "nothing"
    tail.write_bytes(_cut_at_a_line(random, tail.read_bytes().rstrip(b"\n") + b"\n"))
    content = head.read_bytes() if head.exists() else b""
    what = random.choice(("gone", "short", "half", "garbled"))
    match what:
        case "gone":
            head.unlink(missing_ok=True)
        case "short":
            head.write_bytes(_cut(random, content))
        case "half":
            head.write_bytes(content[: len(content) // 2])
        case _:
            head.write_bytes(random.randbytes(len(content)))
    return f"{tail.name} was cut at a line, and HEAD is {what}"


EDITS = (
    _flip,
    _flip,
    _overwrite,
    _cut,
    _cut_front,
    _cut_at_a_line,
    _drop_lines,
    _swap_lines,
    _double_a_line,
    _append,
)
WHOLE_FILES = (_remove, _remove, _swap_files, _rename, _replace, _forget_the_end)


def harm(random: Random, journal: Path) -> str:
    """Something happens to a file; what that was."""
    if random.random() < 0.3:
        done = random.choice(WHOLE_FILES)
        return done(random, journal)
    change = random.choice(EDITS)
    return change.__name__.strip("_") + " " + _edit(random, _some_file(random, journal), change)


# --- what a start makes of it


def run_case(seed: int) -> Counter[str]:
    """One damaged journal; raises `Broken` when a start came to another world in silence."""
    random = Random(seed)
    pattern = random.choice(patterns())
    with tempfile.TemporaryDirectory(prefix="ackbook-damage-") as directory:
        journal = shutil.copytree(pattern.directory, Path(directory) / "journal")
        done = [harm(random, journal) for _ in range(random.choice(DAMAGES))]
        said = f"{pattern.name}: {'; '.join(done)}"
        try:
            return Counter({"cases": 1, _judge(pattern, journal, said): 1, pattern.name: 1})
        except Broken:
            raise
        except Exception as error:
            raise Broken("error", f"{said}: {error!r}") from error


def _judge(pattern: Pattern, journal: Path, said: str) -> str:
    """What came of it, in one word."""
    files = Hasty()
    witnessed = not read_head(files, journal).unreadable
    try:
        with contextlib.closing(
            open_log(journal, kinds=KINDS, fold_version=LOADABLE, files=files)
        ) as log:
            head = log.recovery.head.seq
            world, snapshot = begin_world(journal, head, log.snapshot)
            for _ in confirm_world(journal, world, snapshot):
                pass
            for _ in fold_rest(journal, world, head):
                pass
            is_new = log.recovery.verdict == "new"
    except JournalError:
        return "refused"
    if is_new:
        raise Broken("forgotten", f"{said}: it started empty")
    if head > pattern.head:
        # A file of the same journal as it was later: that is no damage.
        _read(pattern, journal, pattern.head, said)
        return "a_later_state"
    if head < pattern.head and witnessed:
        raise Broken("forgotten", f"{said}: it ends at {head}, not at {pattern.head}")
    if tuple(dump(world)) != pattern.worlds.get(head):
        raise Broken("another_world", f"{said}: the world at {head} is another one")
    _read(pattern, journal, head, said)
    return "the_same" if head == pattern.head else "as_far_as_it_vouches"


def _read(pattern: Pattern, journal: Path, head: int, said: str) -> None:
    """What a reader gives afterwards, of what was there before."""
    reader = Reader(journal)
    given = {line.seq: line.raw for line in reader.lines(0, head)}
    for seq, raw in given.items():
        if pattern.lines.get(seq) != raw:
            raise Broken("phantom", f"{said}: record {seq} was never written")
    missed = {seq for seq in pattern.lines if seq <= head} - given.keys()
    named = {seq for gap in reader.gaps for seq in range(gap.first, gap.last + 1)}
    if missed - named:
        raise Broken("unsaid", f"{said}: {sorted(missed - named)} are left out without a word")


def run_seed(seed: int) -> Counter[str]:
    """One case as a count: a broken promise is counted and its seed kept."""
    try:
        return run_case(seed)
    except Broken as broken:
        return Counter({"cases": 1, broken.kind: 1, f"seed {seed}: {broken}"[:400]: 1})


def run_campaign(seeds: Iterable[int], processes: int) -> Counter[str]:
    """All of them, on that many processes."""
    total: Counter[str] = Counter()
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        for tally in pool.imap_unordered(run_seed, seeds, chunksize=50):
            total.update(tally)
    return total


def main(arguments: list[str] | None = None) -> int:
    """The command; see the head of this module."""
    parser = argparse.ArgumentParser(description="damage journals and start on them")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first case")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    started = time.monotonic()
    tally = run_campaign(range(options.seed, options.seed + options.cases), options.processes)
    for name in BROKEN:
        tally.setdefault(name, 0)
    for name, count in sorted(tally.items(), key=lambda item: (item[0].startswith("seed"), item)):
        print(name if name.startswith("seed") else f"{name:24} {count:>9}")
    print(f"{'seconds':24} {time.monotonic() - started:>9.0f}")
    return 1 if any(tally[name] for name in BROKEN) else 0


if __name__ == "__main__":
    sys.exit(main())
