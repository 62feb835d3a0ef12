"""Makes the golden journals of decisions: `python -m tests.decisions.make NAME ...`, and
with `--accept` a list of what today's rules decide otherwise on purpose, beside each.

A golden journal is never made again: this refuses to write over one. A new version that has a new
rule adds a story, under the version of its format, and this makes its journal.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ackbook.broker.core.replay.recheck import decisions
from ackbook.journal import Draft, open_log
from ackbook.projections.codec import Entry, encode, kind_of
from tests.decisions.stories import BEFORE, STORIES
from tests.support.shell import ackbook
from tests.support.simulated import START_AT, Simulated

GOLDEN = Path(__file__).parent / "golden"


class Clock:
    """Both clocks stand at the time of the story."""

    def __init__(self) -> None:
        self.at = START_AT

    def wall(self) -> int:
        return self.at

    def boot(self) -> int:
        return self.at


def write_journal(directory: Path, told: Simulated) -> None:
    """The records of this story, as the journal that a broker would have written."""
    clock = Clock()
    log = open_log(directory, clock=clock, version="golden", new_id="601de2")
    assert log.head.seq == BEFORE
    for batch in decisions(told.entries):
        clock.at = batch[0].at
        drafts = [_draft(entry) for entry in batch]
        assert log.secure(sum(map(log.measure, drafts)), reserve=True)
        log.stage(drafts, batch[0].at, expect=batch[0].seq)
        log.commit()
    log.close()


def _draft(entry: Entry) -> Draft:
    data = encode(entry.fact)  # type: ignore[arg-type]
    return Draft(kind_of(entry), data, bytes(entry.by) or None, entry.cause)


def accept(journal: Path) -> None:
    """Write down which decisions of this journal are made otherwise today."""
    found = ackbook("replay", "--check", "--all", "--json", "--dir", journal, cwd=journal).json()
    otherwise = journal.with_suffix(".otherwise.json")
    if found["divergences"]:
        otherwise.write_text(json.dumps(found["divergences"], indent=1) + "\n")
    else:
        otherwise.unlink(missing_ok=True)
    print(f"{journal}: {found['diverged']} of {found['decisions']} decisions are made otherwise")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(STORIES))
    parser.add_argument("--version", default="v1")
    parser.add_argument("--accept", action="store_true", help="write down what is made otherwise")
    asked = parser.parse_args()
    for name in asked.names:
        directory = GOLDEN / asked.version / name
        if directory.exists():
            raise SystemExit(f"{directory} is there already: golden journals stay as they are")
        write_journal(directory, STORIES[name]())
        print(f"made {directory}")
    if asked.accept:
        for journal in sorted(GOLDEN.glob("v*/*/")):
            accept(journal)


if __name__ == "__main__":
    main()
