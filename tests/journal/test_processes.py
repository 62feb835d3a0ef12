"""Real processes, a real disk: kills, locks, a full file system, a read-only one."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import IO

import pytest

from ackbook.journal import (
    Draft,
    JournalFull,
    Limits,
    Locked,
    Log,
    Reader,
    ReadOnly,
    open_log,
    verify,
)
from tests.support import writer_process

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def writer(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that appends until it is ended, at the latest by this."""
    command = [sys.executable, "-m", "tests.support.writer_process", str(directory)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(output: IO[str] | None) -> str:
    assert output is not None
    return output.readline()


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    random = Random(5)
    acknowledged, epoch = 0, 0
    for _ in range(15):
        with writer(tmp_path) as process:
            assert said(process.stdout).startswith("open")
            for _ in range(random.randrange(1, 120)):
                acknowledged = int(said(process.stdout).split()[1])
            os.kill(process.pid, signal.SIGKILL)
            assert process.stdout is not None
            *rest, _ = process.stdout.read().split("\n")  # a full pipe took the last one in part
            for line in rest:
                acknowledged = max(acknowledged, int(line.split()[1]))
            process.wait()
        report = verify(tmp_path)
        assert report.verdict in ("keep", "cut"), report.damage
        seen = [line.seq for line in Reader(tmp_path).lines()]
        assert seen == list(range(1, len(seen) + 1))
        assert seen[-1] >= acknowledged
        log = open_log(tmp_path, limits=writer_process.LIMITS)
        assert log.epoch == epoch + 2
        epoch = log.epoch
        assert log.recovery.head.seq >= acknowledged
        log.close()
    assert verify(tmp_path).ok
    assert len(list(tmp_path.glob("*.jsonl"))) > 3, "it rolled meanwhile"


def test_a_second_writer_is_told_who_the_first_one_is(tmp_path: Path) -> None:
    with writer(tmp_path) as process:
        assert said(process.stdout).startswith("open")
        with pytest.raises(Locked) as caught:
            open_log(tmp_path)
    assert f"process {process.pid}" in str(caught.value)


def test_a_reader_follows_a_living_writer_and_sees_only_what_is_durable(tmp_path: Path) -> None:
    with writer(tmp_path) as process:
        assert said(process.stdout).startswith("open")
        reader, seen, acknowledged = Reader(tmp_path), 0, 0
        while seen < 1000:
            acknowledged = int(said(process.stdout).split()[1])
            for line in reader.lines(after=seen):
                assert line.seq == seen + 1
                seen = line.seq
            assert seen >= acknowledged
            assert verify(tmp_path).ok
        assert reader.damage == ()


def test_a_child_that_was_started_does_not_keep_the_lock(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        log.close()
        try:
            open_log(tmp_path).close()
        finally:
            child.kill()


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    mount(["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)])
    yield place
    subprocess.run(["umount", str(place)], check=True)


def mount(arguments: list[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this machine does not let us mount: {done.stderr.strip()}")


def test_a_full_file_system_refuses_and_comes_back(tiny: Path) -> None:
    directory = tiny / "journal"
    limits = Limits(room_bytes_min=100_000, room_bytes_max=200_000, retry_us_min=0)
    ballast = tiny / "ballast"
    log = open_log(directory, limits=limits)
    draft = Draft("thing.happened", b'{"pad":"%b"}' % (b"x" * 1000))
    size = log.measure(draft)
    ballast.write_bytes(bytes(250_000))
    written = fill(log, draft)
    assert written > 100
    with pytest.raises(JournalFull):
        log.secure(size)
    assert log.secure(size, reserve=True), "the reserve is there for what makes the state smaller"
    log.stage([draft], log.now(), expect=log.next_seq)
    log.commit()
    ballast.unlink()
    assert log.secure(size)
    log.stage([draft], log.now(), expect=log.next_seq)
    log.commit()
    log.close()
    kinds = [line.kind for line in Reader(directory).lines()]
    assert kinds.count("thing.happened") == written + 2
    assert verify(directory).ok


def fill(log: Log, draft: Draft) -> int:
    """Append until there is no room; how many records there were."""
    written = 0
    with contextlib.suppress(JournalFull):
        while log.secure(log.measure(draft)):
            log.stage([draft], log.now(), expect=log.next_seq)
            log.commit()
            written += 1
    return written


def test_a_read_only_directory_can_be_read_and_not_opened(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    log = open_log(directory)
    log.close()
    with read_only(directory):
        with pytest.raises(ReadOnly) as caught:
            open_log(directory)
        assert f"verify(Path({str(directory)!r}))" in str(caught.value.next_step)
        assert [line.seq for line in Reader(directory).lines()] == [1, 2, 3]
        assert verify(directory).ok


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[None]:
    if os.geteuid() != 0:
        directory.chmod(0o500)
        for path in directory.iterdir():
            path.chmod(0o400)
        yield
        directory.chmod(0o700)
        return
    mount(["--bind", str(directory), str(directory)])
    try:
        mount(["-o", "remount,bind,ro", str(directory)])
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)
