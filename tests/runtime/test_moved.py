"""Somebody moves, swaps or removes what a broker has open: it never writes into what took the
place, ends with the true reason, and whatever it acknowledged is where it says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.runtime.agents.holder_launch import launch
from ackbook.broker.runtime.maintenance.snapshot_worker import snapshotter_command
from ackbook.broker.runtime.maintenance.worker_process import work
from ackbook.broker.runtime.system.home import Home
from ackbook.journal import Reader, open_log, verify
from tests.support import holders
from tests.support.brokers import Running, eventual, idle, running

LONG = "long " * 30_000
"""Too much to be typed: it goes through a file."""


def acknowledged(broker: Running, many: int = 1_000) -> list[str]:
    """The ids of messages that were accepted until the broker accepts no more."""
    ids = []
    with contextlib.suppress(httpx.HTTPError):
        for number in range(many):
            reply = broker.http.post("/api/send", json={"to": "bob", "text": f"number {number}"})
            if reply.status_code != 200:
                break
            ids.append(reply.json()["event_id"])
    return ids


def kept(journal: Path) -> set[str]:
    """The ids of all messages in a journal."""
    lines = (json.loads(line.raw) for line in Reader(journal).lines())
    return {each["data"]["event_id"] for each in lines if each["kind"] == "message.enqueued"}


def ended(broker: Running) -> str:
    """What it said when it ended; it blames no disk."""
    assert broker.wait() == ExitCode.IO_ERROR
    said = broker.stderr().splitlines()[-1]
    assert "cannot be written" not in said
    assert "look after the disk" not in said
    return said


def names(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


@contextlib.contextmanager
def in_directory(directory: Path) -> Iterator[Running]:
    """Another broker, whose directory belongs to somebody else."""
    broker = Running(directory)
    broker._stderr = directory.parent / "other.stderr"
    try:
        yield broker
    finally:
        broker.close()


def test_a_moved_directory_and_the_one_in_its_place_keep_what_is_theirs() -> None:
    with idle(name="a") as old:
        a, b = old.directory, old.directory.with_name("b")
        old.start()
        old.spawn("bob", "cat")
        old.deliver("bob", "hello")
        before = acknowledged(old, 5)
        a.rename(b)
        with in_directory(a) as new:
            new.start()
            after = acknowledged(old)
            assert f"was moved to {b / 'journal'}" in ended(old)
            assert json.loads((a / "connection.json").read_text())["pid"] == new.pid
            assert new.get("/api/status")
            assert new.stop() == ExitCode.DONE
        assert verify(a / "journal").ok
        assert kept(a / "journal") == set()
        assert kept(b / "journal") >= {*before, *after}
        with in_directory(b) as again:
            again.start()
            again.agent_is("bob", "ready")
            again.deliver("bob", LONG)
            eventual(lambda: list((b / "screens").iterdir()) or None, "a screen is kept")
            assert list((b / "spool").iterdir())
            assert again.stop() == ExitCode.DONE
        mine = {"LOCK", "HEAD"} | {f"{1:020d}.jsonl"}
        assert names(a) <= {f"journal/{name}" for name in mine}
        assert verify(b / "journal").ok


def test_a_broker_that_has_nothing_to_do_notices_that_it_was_moved() -> None:
    with running() as broker:
        moved = broker.directory.with_name("moved")
        broker.directory.rename(moved)
        assert f"was moved to {moved / 'journal'}" in ended(broker)
        assert not broker.directory.exists()
        assert verify(moved / "journal").ok


def test_a_directory_that_is_removed_ends_its_broker_with_that_reason() -> None:
    with running() as broker:
        shutil.rmtree(broker.directory)
        assert "was removed" in ended(broker)
        assert not broker.directory.exists()


def test_a_journal_that_is_swapped_for_a_backup_gets_no_acknowledgement() -> None:
    with running() as broker:
        journal, aside = broker.directory / "journal", broker.directory / "aside"
        broker.spawn("bob", "cat")
        before = acknowledged(broker, 5)
        shutil.copytree(journal, broker.directory / "backup")
        before += acknowledged(broker, 5)
        journal.rename(aside)
        (broker.directory / "backup").rename(journal)
        after = acknowledged(broker)
        said = ended(broker)
        assert f"was moved to {aside}" in said
        assert "its name means another directory now" in said
        assert kept(aside) >= {*before, *after}


def test_without_its_lock_a_broker_ends_and_no_second_one_acknowledges_beside_it() -> None:
    with running() as first:
        first.spawn("bob", "cat")
        before = acknowledged(first, 5)
        (first.directory / "journal" / "LOCK").unlink()
        with in_directory(first.directory) as second:
            process = second.launch()
            after = acknowledged(first)
            assert "LOCK was removed" in ended(first)
            assert process.stdout is not None
            if not process.stdout.readline():  # it looked before the first one had ended
                assert second.wait() == ExitCode.LOCKED
                process = second.launch()
            second.kill()
            second.start()
            after += acknowledged(second, 5)
            assert kept(first.directory / "journal") >= {*before, *after}
            assert second.stop() == ExitCode.DONE
        assert verify(first.directory / "journal").ok


def test_a_broker_does_not_withdraw_what_another_one_says_of_itself() -> None:
    with running() as broker:
        connection = broker.directory / "connection.json"
        said = connection.read_text()
        (broker.directory / "other").write_text(said)
        (broker.directory / "other").rename(connection)
        assert broker.stop() == ExitCode.DONE
        assert connection.read_text() == said


def test_a_worker_works_in_the_directory_that_it_was_given(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    log = open_log(a)
    log.sync_head()
    a.rename(b)
    open_log(a).close()
    before = names(a)
    made = asyncio.run(work(snapshotter_command(a), log.files)).decode().strip()
    assert (b / made).is_file()
    assert names(a) == before
    del log


@pytest.mark.parametrize("spooled", [False, True])
def test_a_holder_makes_its_files_in_the_directory_that_it_was_given(spooled: bool) -> None:
    with holders.short_directory() as root:
        a, b = root / "a", root / "b"
        for part in ("holders", "logs"):
            (a / part).mkdir(parents=True)
        home = Home.hold(a)
        order = holders.launch(
            a,
            "cat",
            cwd="/",
            socket=str(a / "holders" / "s"),
            spool=str(a / "spool"),
            screens=str(a / "screens" / "s.jsonl"),
            home=str(a),
        )
        a.rename(b)
        a.mkdir()

        async def started() -> None:
            launched = await launch(order, a / "logs" / "s.log", home)
            link = await asyncio.to_thread(holders.Link, str(b / "holders" / "s"))
            try:
                await asyncio.to_thread(_typed, link, LONG if spooled else "short")
                holders.eventually(lambda: (b / "screens" / "s.jsonl").exists(), "a screen is kept")
                assert (b / "spool").exists() is spooled
            finally:
                link.close()
                await launched.abandon()

        asyncio.run(started())
        assert list(a.iterdir()) == []


def _typed(link: holders.Link, text: str) -> None:
    link.hello(1, "one")
    link.send(holders.Named())
    link.ready()
    order = holders.message(1, text)
    link.send(order)
    link.report(order, lambda report: report.seen is not None)
