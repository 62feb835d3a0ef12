"""Hypothesis looks for a history that breaks a promise, and shrinks it to the shortest one."""

import errno

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ackbook.journal import Retention
from tests.journal.mishaps import restore_backup, rot
from tests.journal.story import RETENTIONS, Story
from tests.support.disk import CrashKind

CRASHES: st.SearchStrategy[CrashKind] = st.sampled_from(["process", "power"])


class JournalMachine(RuleBasedStateMachine):
    """The rules are what can happen; the checks stand in `Story`, after each of them."""

    story: Story

    @initialize(seed=st.integers(0, 2**32), short_writes=st.booleans())
    def begin(self, seed: int, short_writes: bool) -> None:
        self.story = Story(seed)
        self.story.disk.short_writes = short_writes

    @property
    def is_open(self) -> bool:
        return self.story.log is not None

    @property
    def may_damage(self) -> bool:
        # After a crash of the process alone, what is read may not be on the medium, and what
        # rots there is not what was read.
        closed = self.may_open and bool(self.story.tally["closes"])
        return closed and not self.story.tally["poisoned"]

    @property
    def may_open(self) -> bool:
        return self.story.log is None and not self.story.disk.crashed

    @precondition(lambda self: self.may_open)
    @rule()
    def open(self) -> None:
        self.story.open()

    @precondition(lambda self: self.is_open)
    @rule(sizes=st.lists(st.integers(0, 400), min_size=1, max_size=6), reserve=st.booleans())
    def append(self, sizes: list[int], reserve: bool) -> None:
        self.story.append(sizes, reserve=reserve)

    @precondition(lambda self: self.is_open)
    @rule()
    def commit(self) -> None:
        self.story.commit()

    @precondition(lambda self: self.is_open)
    @rule(steps=st.integers(1, 4))
    def begin_preallocation(self, steps: int) -> None:
        for _ in range(steps):
            if self.is_open:
                self.story.begin_preallocation()

    @precondition(lambda self: self.is_open)
    @rule()
    def fill_a_segment(self) -> None:
        self.story.append([300] * 9)
        if self.is_open:
            self.story.commit()

    @precondition(lambda self: self.is_open)
    @rule()
    def sync_head(self) -> None:
        self.story.sync_head()

    @precondition(lambda self: self.is_open)
    @rule()
    def look(self) -> None:
        self.story.look()

    @precondition(lambda self: self.is_open)
    @rule()
    def snapshot(self) -> None:
        self.story.snapshot()

    @precondition(lambda self: self.is_open)
    @rule()
    def snapshot_whose_maker_is_killed(self) -> None:
        self.story.snapshot(maker_is_killed=True)

    @precondition(lambda self: self.is_open)
    @rule(keep_audit=st.sampled_from(RETENTIONS), wholly=st.booleans())
    def compact(self, keep_audit: Retention, wholly: bool) -> None:
        self.story.compact(keep_audit, wholly=wholly)

    @precondition(lambda self: self.is_open)
    @rule()
    def close(self) -> None:
        self.story.close()

    @precondition(lambda self: self.may_damage)
    @rule()
    def rot(self) -> None:
        rot(self.story)

    @precondition(lambda self: self.may_damage)
    @rule()
    def restore_backup(self) -> None:
        restore_backup(self.story)

    @rule(kind=CRASHES)
    def crash(self, kind: CrashKind) -> None:
        self.story.crash(kind)

    @precondition(lambda self: self.is_open or self.may_open)
    @rule(calls=st.integers(1, 60))
    def crash_later(self, calls: int) -> None:
        self.story.disk.crash_in(calls)

    @rule(calls=st.integers(1, 60), code=st.sampled_from([errno.EIO, errno.ENOSPC]))
    def fail_later(self, calls: int, code: int) -> None:
        self.story.disk.fail_in(calls, code)

    @rule(room=st.one_of(st.none(), st.integers(0, 6000)))
    def resize_the_disk(self, room: int | None) -> None:
        disk = self.story.disk
        disk.capacity = None if room is None else disk.used() + room

    @rule(seconds=st.integers(-100_000, 100_000))
    def set_the_clock(self, seconds: int) -> None:
        self.story.clock.jump(seconds * 1_000_000)

    def teardown(self) -> None:
        self.story.finish()


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
