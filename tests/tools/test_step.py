"""Stepping through the past in a real terminal: what keys do, what is seen, and that the terminal
is afterwards as it was, however it ended."""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ptyprocess import PtyProcess

from ackbook.broker.runtime.holder.screen import GhosttyScreen
from ackbook.journal import Reader
from tests.bench.history import Past as LongPast
from tests.support.past import a_busy_day
from tests.support.shell import ACKBOOK, PATIENCE_S, ackbook, environment

SCRIPT = "stty -g; {command}; echo code=$?; stty -g; echo over"
"""The modes of the line discipline are said before and after."""

LEFT, RIGHT, HOME, END = b"\x1b[D", b"\x1b[C", b"\x1b[H", b"\x1b[F"
PAGE_DOWN = b"\x1b[6~"
CTRL_C, ESCAPE = b"\x03", b"\x1b"
MAIN_SCREEN_AGAIN = b"\x1b[?1049l"


class Watcher:
    """A person at a terminal: keys go in, and what a person would see is in `rows`."""

    def __init__(self, root: Path, arguments: tuple[str, ...], size: tuple[int, int]) -> None:
        command = shlex.join((*ACKBOOK, "replay", "--step", *arguments, "--dir", str(root)))
        self._process = PtyProcess.spawn(
            ["sh", "-c", SCRIPT.format(command=command)],
            cwd=str(root),
            env=environment(TERM="xterm-256color", XDG_CACHE_HOME=str(root / "cache")),
            dimensions=size,
        )
        self._screen = GhosttyScreen(*size, lambda answer: self._process.write(answer))
        self.shown = b""

    @property
    def rows(self) -> tuple[str, ...]:
        return self._screen.rows()

    def type(self, *keys: bytes) -> None:
        for key in keys:
            self._process.write(key)

    def resize(self, rows: int, cols: int) -> None:
        self._screen.resize(rows, cols)
        self._process.setwinsize(rows, cols)

    def end_with(self, number: int) -> None:
        """A signal to the command that the shell runs."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        os.kill(int(children.read_text().split()[0]), number)

    def sees(self, *what: str) -> None:
        """Look until all of it is on the screen; fails when it does not come."""
        self.looks_until(lambda rows: all(text in "\n".join(rows) for text in what), str(what))

    def stands_at(self, seq: int) -> None:
        self.looks_until(lambda rows: rows[0].startswith(f"{seq} of "), f"record {seq}")

    def looks_until(
        self, holds: Callable[[tuple[str, ...]], object], what: str = "this screen"
    ) -> None:
        self._wait(lambda: holds(self.rows), what)

    def fails(self, *words: bytes) -> int:
        """Wait until it is over without having begun; the exit code."""
        self._wait(lambda: re.search(rb"\nover\r?\n", self.shown), "the end")
        assert all(word in self.shown for word in words)
        return self._code()

    def leaves(self) -> int:
        """Wait until it is over; the exit code. The terminal must be as it was."""
        self._wait(lambda: re.search(rb"\nover\r?\n", self.shown), "the end")
        modes = re.findall(rb"(?m)^\r?([0-9a-f]+(?::[0-9a-f]+){5,})\r?$", self.shown)
        assert len(modes) == 2
        assert modes[0] == modes[1]
        assert MAIN_SCREEN_AGAIN in self.shown
        assert self.shown.rindex(b"\x1b[?25h") > self.shown.rfind(b"\x1b[?25l"), "no cursor"
        return self._code()

    def _code(self) -> int:
        found = re.search(rb"code=(\d+)", self.shown)
        assert found is not None
        return int(found[1])

    def close(self) -> None:
        self._process.close(force=True)

    def _wait(self, holds: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            left = deadline - time.monotonic()
            assert left > 0, f"{what} did not come to be seen in {self.rows}"
            ready, _, _ = select.select([self._process.fd], [], [], left)
            if ready:
                try:
                    output = os.read(self._process.fd, 65536)
                except OSError:
                    raise AssertionError(f"{what}: it ended with {self.shown[-2000:]!r}") from None
                self.shown += output
                self._screen.feed(output)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("told")
    return root, a_busy_day(root / "journal")


@pytest.fixture
def watch(told: tuple[Path, dict[str, str]]) -> Iterator[Callable[..., Watcher]]:
    """Step through that past; the terminal is closed when the test is over."""
    watchers: list[Watcher] = []

    def begin(*arguments: str, size: tuple[int, int] = (24, 80)) -> Watcher:
        watchers.append(Watcher(told[0], arguments, size))
        return watchers[-1]

    yield begin
    for watcher in watchers:
        watcher.close()


def kinds(root: Path) -> dict[int, str]:
    return {line.seq: line.kind for line in Reader(root / "journal").lines()}


def first_of(root: Path, kind: str) -> int:
    return min(seq for seq, name in kinds(root).items() if name == kind)


def test_a_record_is_shown_with_its_decision_what_it_changed_and_the_world(
    told: tuple[Path, dict[str, str]], watch: Callable[..., Watcher]
) -> None:
    root, ids = told
    evicted = first_of(root, "delivery.evicted")
    watcher = watch("--to", str(evicted))
    watcher.sees("delivery.evicted", f"delivery_id {ids['evicted']}", "cap 2", "q quit")
    watcher.sees(f"decided at {evicted - 1}: send", "because of", "message.enqueued")
    watcher.sees(f"{ids['evicted']}  held: manual_flush → evicted: queue_full")
    watcher.sees("pending 3 → 2", "evicted 0 → 1", "Ann  ready", "2 pending")
    assert all(len(row) <= 80 for row in watcher.rows)
    watcher.type(b"q")
    assert watcher.leaves() == 0


def test_keys_go_forward_and_back_and_never_beyond(
    told: tuple[Path, dict[str, str]], watch: Callable[..., Watcher]
) -> None:
    root, _ = told
    every = kinds(root)
    watcher = watch(size=(30, 120))
    watcher.stands_at(1)
    for seq in range(2, 12):
        watcher.type(RIGHT)
        watcher.stands_at(seq)
        watcher.sees(every[seq])
    for seq in range(10, 7, -1):
        watcher.type(LEFT)
        watcher.stands_at(seq)
    watcher.type(END)
    watcher.stands_at(max(every))
    watcher.type(RIGHT)
    watcher.sees("this is the last record")
    watcher.type(HOME)
    watcher.stands_at(1)
    watcher.type(LEFT)
    watcher.sees("this is the first record")
    watcher.type(PAGE_DOWN)
    watcher.stands_at(max(every))
    watcher.type(CTRL_C)
    assert watcher.leaves() == 0


def test_n_and_p_go_by_an_agent_an_id_or_a_kind(
    told: tuple[Path, dict[str, str]], watch: Callable[..., Watcher]
) -> None:
    root, ids = told

    def of(*options: str) -> list[int]:
        return [r["seq"] for r in ackbook("cat", *options, "--dir", root, cwd=root).lines()]

    eve = of("--agent", "eve")
    watcher = watch("--agent", "EVE")
    watcher.stands_at(eve[0])
    for seq in eve[1:]:
        watcher.type(b"n")
        watcher.stands_at(seq)
    watcher.type(b"n")
    watcher.sees("no further record of EVE")
    watcher.type(b"p")
    watcher.stands_at(eve[-2])
    evicted = of("--id", ids["evicted"])
    watcher.type(HOME, b"i", ids["evicted"].encode(), b"\r")
    watcher.stands_at(evicted[0])
    watcher.type(b"n")
    watcher.stands_at(evicted[1])
    spawned = of("--kind", "agent.sp*")
    watcher.type(b"k", b"agent.sp*", b"\r")
    watcher.stands_at(next(seq for seq in spawned if seq > evicted[1]))
    watcher.type(b"p")
    watcher.stands_at(max(seq for seq in spawned if seq < evicted[1]))
    watcher.type(b"q")
    assert watcher.leaves() == 0


def test_g_goes_to_a_position_or_a_time_and_says_what_it_does_not_understand(
    told: tuple[Path, dict[str, str]], watch: Callable[..., Watcher]
) -> None:
    root, _ = told
    watcher = watch()
    watcher.stands_at(1)
    watcher.type(b"g", b"20\r")
    watcher.stands_at(20)
    watcher.type(b"g", b"end\r")
    watcher.stands_at(max(kinds(root)))
    watcher.type(b"g")
    watcher.sees("position or time")
    watcher.type(b"soon\r")
    watcher.sees("'soon' is no time")
    watcher.type(b"g", b"99999\r")
    watcher.sees("the journal ends at")
    watcher.type(b"g", b"3")
    watcher.sees("end): 3")
    watcher.type(ESCAPE)
    watcher.sees("q quit")
    watcher.stands_at(max(kinds(root)))
    watcher.type(b"q")
    assert watcher.leaves() == 0


def test_another_size_is_filled_and_a_small_one_is_enough(watch: Callable[..., Watcher]) -> None:
    watcher = watch("--to", "23")
    watcher.sees("Ann  ready")
    watcher.resize(8, 40)
    watcher.sees("delivery.evicted", "…")
    watcher.looks_until(lambda rows: len(rows) == 8 and "←→ one" in rows[7])
    watcher.resize(3, 1)
    watcher.looks_until(lambda rows: rows == ("…", "", "←"))
    watcher.resize(40, 140)
    watcher.looks_until(lambda rows: "q quit" in rows[39])
    watcher.sees("Ann  ready")
    watcher.type(b"q")
    assert watcher.leaves() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_ended_from_outside_gives_the_terminal_back(
    number: int, watch: Callable[..., Watcher]
) -> None:
    watcher = watch()
    watcher.stands_at(1)
    watcher.end_with(number)
    assert watcher.leaves() == 130


def test_without_a_terminal_the_next_step_is_said(told: tuple[Path, dict[str, str]]) -> None:
    root, _ = told
    done = ackbook("replay", "--step", "--dir", root, cwd=root)
    assert (done.code, done.out) == (2, "")
    assert "needs a terminal" in done.err
    assert "ackbook replay --to SEQ" in done.err
    for options in (("--step", "--json"), ("--agent", "bob"), ("--id", "evt_9")):
        assert ackbook("replay", *options, "--dir", root, cwd=root).code == 2


def test_what_nobody_names_is_not_stepped_to(
    told: tuple[Path, dict[str, str]], watch: Callable[..., Watcher]
) -> None:
    assert watch("--id", "evt_ffff").fails(b"no record names evt_ffff") == 3


def test_a_long_search_says_where_it_is_and_any_key_stops_it(tmp_path: Path) -> None:
    with LongPast(tmp_path / "journal") as past:
        past.arrive(100_000)
    watcher = Watcher(tmp_path, (), (24, 80))
    try:
        watcher.stands_at(1)
        watcher.type(b"a")
        watcher.sees("agent:")
        watcher.type(b"nobody\r")
        watcher.sees("searching at record", "any key stops it")
        watcher.type(RIGHT)
        watcher.sees("stopped")
        watcher.stands_at(1)
        watcher.type(RIGHT)
        watcher.stands_at(2)
        watcher.type(b"q")
        assert watcher.leaves() == 0
    finally:
        watcher.close()
