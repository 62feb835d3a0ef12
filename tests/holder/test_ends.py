"""How programs, terminals, brokers and holders end, and what is left: the truth, and no process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import stat
from pathlib import Path

import pytest

from ackbook.broker.runtime.system import unix_sockets
from ackbook.broker.wire.frames import EndOrder, Input, ProgramEnded, WatchOrder, Welcome
from tests.support.holders import (
    Holder,
    becomes,
    chat,
    environment,
    eventually,
    gone,
    launch,
    message,
    popen,
    program,
    running,
    short_directory,
    start,
    transcript,
)
from tests.support.inherited import CLEAN, inherited_by, spoil


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def test_standard_output_says_ready_and_is_let_go() -> None:
    with short_directory() as directory:
        order = launch(directory, *program("password"))
        process, log = popen(order)
        with contextlib.closing(Holder(process, order, log)):
            assert process.stdout is not None
            assert process.stdout.read() == b"ready\n"


@pytest.mark.parametrize(
    ("command", "more", "why"),
    [
        ("no-such-command", {}, "not found"),
        ("/etc/passwd", {}, "not executable"),
        ("cat", {"cwd": "/no/such/place"}, "no such directory"),
        ("cat", {"env": {"PATH": "/nowhere"}}, "not found"),
        ("cat", {"socket": "/no/such/place/s"}, "No such file"),
    ],
)
def test_a_start_that_fails_says_why_in_one_line(
    command: str, more: dict[str, object], why: str
) -> None:
    with short_directory() as directory:
        process, log = popen(launch(directory, command, **more), directory=directory)
        with contextlib.closing(Holder(process, launch(directory, command), log)):
            assert process.stdout is not None
            (line,) = process.stdout.read().decode().splitlines()
            assert line.startswith("error: ")
            assert why in line
            assert process.wait() == 1
            assert not (directory / "s").exists()


def test_the_program_gets_exactly_the_given_environment_and_place(tmp_path: Path) -> None:
    env = environment(MARK="x y")
    with running("cat", cwd=str(tmp_path), env=env) as (_, link):
        pid = link.wait(Welcome).pid
        block = Path(f"/proc/{pid}/environ").read_bytes().rstrip(b"\0").split(b"\0")
        given = dict(line.decode().split("=", 1) for line in block)
        assert given == env | {"TERM": "xterm-256color"}
        assert os.readlink(f"/proc/{pid}/cwd") == str(tmp_path)
        opened = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert all(each.startswith("/dev/") for each in opened)


def test_the_program_inherits_nothing_of_what_its_holder_was_started_with() -> None:
    with (
        short_directory() as directory,
        start(launch(directory, "cat"), before_exec=spoil) as holder,
    ):
        link = holder.join()
        link.ready()
        assert inherited_by(link.wait(Welcome).pid) == CLEAN
        link.send(Input(request=1, data=b"\x03"))
        assert link.wait(ProgramEnded).signal == signal.SIGINT, (
            "the end of its child is told to the holder"
        )
        holder.process.send_signal(signal.SIGTERM)
        assert holder.wait() == 0


def test_the_program_has_the_umask_of_its_order() -> None:
    with running("cat", umask=0o007) as (_, link):
        assert inherited_by(link.wait(Welcome).pid).umask == 0o007


def test_a_socket_path_of_any_length_works_and_is_for_its_owner_only() -> None:
    with short_directory() as directory:
        deep = directory / ("d" * 100) / ("e" * 100)
        deep.mkdir(parents=True)
        with start(launch(deep, *program("password"))) as holder:
            link = holder.join()
            link.ready()
            assert stat.S_IMODE(os.stat(holder.launch.socket).st_mode) == 0o600


def test_a_socket_where_somebody_listens_is_not_taken_over() -> None:
    with short_directory() as directory, start(launch(directory, *program("password"))):
        with pytest.raises(OSError, match="in use"):
            unix_sockets.listen(str(directory / "s"))
        assert (directory / "s").exists()


def test_a_holder_that_is_killed_takes_its_program_with_it() -> None:
    with running("bash", "--norc", "--noprofile", "-i") as (holder, link):
        pid = link.wait(Welcome).pid
        order = message(1, "", header="sleep 1000")
        link.send(order)
        link.blocked("busy")
        (child,) = descendants(pid)
        holder.process.kill()
        eventually(lambda: gone(pid) and gone(child), "the program and its child are gone")


def test_a_program_that_ignores_the_hang_up_does_not_outlive_a_killed_holder() -> None:
    script = "trap '' HUP; echo 'ready> '; while :; do sleep 1; done"
    with running("bash", "--norc", "-c", script) as (holder, link):
        pid = link.wait(Welcome).pid
        holder.process.kill()
        eventually(lambda: gone(pid), "the program is gone")
        eventually(lambda: not descendants(pid), "its child is gone")


def test_a_program_that_ignores_the_hang_up_is_killed_with_its_children() -> None:
    script = "trap '' HUP; (trap '' HUP; while :; do sleep 1; done) & echo 'ready> '; wait"
    with running("bash", "--norc", "-c", script) as (holder, link):
        pid = link.wait(Welcome).pid
        children = descendants(pid)
        assert children
        link.send(EndOrder(grace_ms=100))
        assert link.wait(ProgramEnded).signal == signal.SIGKILL
        assert holder.wait() == 0
        assert all(map(gone, children))


def test_when_a_holder_has_ended_so_has_everything_in_the_session() -> None:
    """Children that ignore the hang-up and beget others while they are killed."""
    child = "(trap '' HUP; while :; do /bin/true & sleep 0.001; done) &"
    with running("bash", "--norc", "-c", f"{child} {child} echo 'ready> '; read line") as (
        holder,
        link,
    ):
        pid = link.wait(Welcome).pid
        assert descendants(pid)
        link.send(EndOrder())
        assert holder.wait() == 0
        assert descendants(pid) == []


def test_sigterm_ends_the_holder_and_its_program() -> None:
    with running(*program("password")) as (holder, link):
        pid = link.wait(Welcome).pid
        holder.process.send_signal(signal.SIGTERM)
        assert holder.wait() == 0
        assert gone(pid)


def test_a_program_that_exits_has_ended_though_an_orphan_keeps_its_terminal() -> None:
    with running(*program("leaves_orphan")) as (holder, link):
        found = re.search(r"orphan (\d+)\.", link.screen())
        assert found is not None
        orphan = int(found[1])
        link.send(Input(request=1, data=b"\r"))
        ended = link.wait(ProgramEnded)
        assert (ended.reason, ended.code) == ("exited", 7)
        assert not gone(orphan)
        link.send(EndOrder())
        assert holder.wait() == 0
        assert gone(orphan)


def test_a_program_that_closes_its_terminal_and_lives_is_told_apart() -> None:
    with running(*program("closes_terminal")) as (holder, link):
        pid = link.wait(Welcome).pid
        link.send(Input(request=1, data=b"\r"))
        assert link.wait(ProgramEnded).reason == "terminal_closed"
        assert not gone(pid)
        order = message(1, "nobody is there")
        link.send(order)
        assert link.report(order, lambda each: True).held == "agent_gone"
        link.send(EndOrder(grace_ms=100))
        assert holder.wait() == 0
        assert gone(pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_signal_is_told_as_such(number: signal.Signals) -> None:
    with running(*program("password")) as (_, link):
        os.kill(link.wait(Welcome).pid, number)
        ended = link.wait(ProgramEnded)
        assert (ended.reason, ended.signal, ended.code) == ("signalled", number, None)


def test_the_last_words_of_a_program_are_heard() -> None:
    script = "read -p 'ready> '; head -c 200000 /dev/zero | tr '\\0' x; echo last words"
    with running("bash", "--norc", "-c", script) as (holder, link):
        link.send(WatchOrder(on=True), Input(request=1, data=b"\r"))
        link.wait(ProgramEnded)
        assert link.output().rstrip().endswith(b"last words")
        link.close()
        assert "last words" in holder.join(epoch=2).screen()


def test_a_message_that_ends_its_program_is_still_seen_and_submitted() -> None:
    with running("bash", "--norc", "--noprofile", "-i") as (_, link):
        order = message(1, "", header="exit 3")
        link.send(order)
        assert link.wait(ProgramEnded).code == 3
        link.report(order, lambda each: bool(each.seen and each.submitted))


def test_a_broker_that_dies_while_text_is_typed_finds_the_truth_and_types_nothing_twice(
    kept: Path,
) -> None:
    with running(*chat(kept)) as (holder, link):
        order = message(1, "the only copy\nof two lines")
        link.send(order)
        link.report(order, lambda each: each.phase == "typing")
        link.close()
        link = holder.connect()
        link.hello(epoch=2, instance="two")
        link.send(order)
        link.report(order, lambda each: bool(each.seen and each.submitted))
        later = message(2, "the next one")
        link.ready()
        link.send(later)
        link.report(later, lambda each: each.submitted is not None)
        becomes(lambda: transcript(kept), [each.header + each.body for each in (order, later)])


def test_an_order_that_waits_for_a_moment_is_void_when_another_broker_comes() -> None:
    with running("bash", "--norc", "--noprofile", "-i") as (holder, link):
        first, second, third = (message(n, "", header=f"sleep 0.2; echo {n}") for n in (1, 2, 3))
        link.send(first)
        link.report(first, lambda each: each.submitted is not None)
        link.send(second)
        link = holder.connect()
        told = link.hello(epoch=2, instance="two").reports
        begun = [each.delivery_id for each in told if each.phase != "not_begun"]
        link.ready()
        link.send(third)
        link.report(third, lambda each: each.submitted is not None)
        assert ("echo 2" in link.screen()) == (second.delivery_id in begun)


def test_a_program_that_dies_with_a_message_half_typed_leaves_the_outcome_unknown(
    kept: Path,
) -> None:
    with running(*program("quiet_keys", str(kept))) as (_, link):
        order = message(1, "too late", settle_ms=60_000)
        link.send(order)
        eventually(lambda: kept.exists() and kept.stat().st_size > 0, "the text is read")
        os.kill(link.wait(Welcome).pid, signal.SIGKILL)
        report = link.report(order, lambda each: each.phase != "typing")
        assert (report.phase, report.error) == ("unknown", "the program ended")


def descendants(leader: int) -> list[int]:
    """The other living processes of a session."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            pid = int(name)
            if pid != leader and os.getsid(pid) == leader and not gone(pid):
                found.append(pid)
    return found
