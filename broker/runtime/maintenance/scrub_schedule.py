"""The check of older history: one file after the other, while there is little else to do.

A start reads what its snapshot does not vouch for; what stands before that may rot unseen until
somebody asks. So each sealed segment and each archive is looked at once a day, one at a time, by a
worker in a process of its own. What is wrong is told, as a record, an event, a line in the log and
in the broker's health, and never repaired. It is looked at again every minute: a file that was
brought back is well again by itself.
"""

from __future__ import annotations

import asyncio
import logging
import time

import msgspec

from ackbook.broker.core.commands import NoteUpkeep
from ackbook.broker.journal_endings import error_at_a_shell
from ackbook.broker.runtime.engine.engine import Engine
from ackbook.broker.runtime.maintenance.snapshot_schedule import Upkeep
from ackbook.broker.runtime.maintenance.worker_process import WorkFailed, wording, work
from ackbook.journal import (
    Damage,
    JournalError,
    Listing,
    Log,
    holes,
    list_directory,
    older_files,
)
from ackbook.journal.maintenance.scrub_worker import check_command, read_finding

log = logging.getLogger("ackbook")

LOOKS_PER_RECHECK = 6
"""A damaged one is looked at again after so many looks."""

BUSY_RECORDS_MIN = 1_000
"""More records than this between two looks: others come first."""

DELAY_S_MAX = 3_600.0
"""But not for ever: after so long one file is checked whatever else there is to do."""

LISTING, HOLES = "the listing", "the holes"
"""What may be wrong without being in a file."""

File = tuple[str, int]
"""Its name, and the seq at which the next one begins."""


class Checker:
    """The checks of one journal. `run` is its life."""

    def __init__(self, engine: Engine, journal: Log, upkeep: Upkeep) -> None:
        self._engine = engine
        self._journal = journal
        self._look_s = upkeep.check_s
        self._recheck_s = upkeep.recheck_s
        self._due_at: dict[File, float] = {}
        self._wrong: dict[str, Damage] = {}
        self._records = 0
        self._checked_at = time.monotonic()

    @property
    def wrong(self) -> tuple[Damage, ...]:
        """What is known to be damaged or missing."""
        return tuple(self._wrong.values())

    async def run(self) -> None:
        """Look at one file more every so often, for ever."""
        while True:
            await asyncio.sleep(self._look_s)
            try:
                await self._look()
            except (WorkFailed, OSError) as error:
                log.warning("older history cannot be checked: %s", error)

    async def _look(self) -> None:
        reach, directory = self._journal.reach, self._journal.directory
        try:
            listing = await asyncio.to_thread(list_directory, self._journal.files, directory)
        except JournalError as error:
            if error.damage is not None:
                self._note(LISTING, error.damage)
            return
        self._note(LISTING, None)
        if self._journal.reach == reach:  # else it was compacted meanwhile
            missing = holes(directory, listing, reach)
            self._note(HOLES, missing[0] if missing else None)
        file = self._next(listing)
        if file is None:
            return
        found = await self._check(file)
        self._note(file[0], found)
        if found is None:
            self._due_at[file] = time.monotonic() + self._recheck_s

    async def _check(self, file: File) -> Damage | None:
        self._checked_at = time.monotonic()
        self._due_at[file] = self._checked_at + LOOKS_PER_RECHECK * self._look_s
        answer = await work(check_command(self._journal.directory, file[0]), self._journal.files)
        try:
            return read_finding(answer)
        except msgspec.DecodeError as error:
            raise WorkFailed(str(error)) from error

    def _next(self, listing: Listing) -> File | None:
        """The file that is due for the longest time, when it is time for one."""
        files = older_files(listing)
        self._due_at = {file: self._due_at.get(file, 0.0) for file in files}
        gone = self._wrong.keys() - {name for name, _ in files} - {LISTING, HOLES}
        for name in gone:
            self._note(name, None)
        now, before = time.monotonic(), self._records
        self._records = self._journal.statistics().records
        is_busy = self._records - before > BUSY_RECORDS_MIN
        if is_busy and now - self._checked_at < DELAY_S_MAX:
            return None
        due = [file for file in files if self._due_at[file] <= now]
        return min(due, key=self._due_at.__getitem__, default=None)

    def _note(self, place: str, damage: Damage | None) -> None:
        """Tell what was found, once."""
        known = self._wrong.pop(place, None)
        if damage is None:
            if known is not None:
                log.warning("%s is whole again", known.file)
            return
        self._wrong[place] = damage
        if damage != known:
            told = error_at_a_shell(damage)
            log.warning("older history is damaged: %s", told)
            self._engine.mention(NoteUpkeep(what="check", error=wording(told)))
