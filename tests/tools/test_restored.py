"""A journal that was put back from a copy, under agents that lived on: nothing twice, nothing made
up, nobody left behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ackbook.broker.runtime.system.processes import started_at
from ackbook.broker.wire.frames import EndOrder, Hello, Welcome
from ackbook.journal import Reader
from tests.support.holders import Link, parent_of
from tests.support.shell import House, wait_for_end, wait_until


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    house.up()
    yield house
    house.close()


def spawn(house: House, name: str) -> tuple[int, Path]:
    """An agent that writes down each line that it reads."""
    heard = house.root / f"{name}.heard"
    heard.touch()
    script = 'while IFS= read -r line; do printf "%s\\n" "$line" >> "$HEARD"; done'
    given = ("--env", f"HEARD={heard}", "--", "sh", "-c", script)
    done = house("spawn", name, "--json", *given)
    assert done.code == 0, done.err
    return int(done.json()["pid"]), heard


def deliver(house: House, name: str, text: str) -> str:
    done = house("send", name, text, "--wait", "60", "--json")
    assert done.code == 0, done.err
    return str(done.json()["event_id"])


def put_back(house: House, backup: Path) -> None:
    """The journal of the backup in the place of the present one, by hand, as people do it."""
    house("down", "--keep-agents")
    shutil.rmtree(house.directory / "journal")
    shutil.copytree(backup, house.directory / "journal")


def back_up(house: House) -> Path:
    backup = house.root / "backup"
    shutil.copytree(house.directory / "journal", backup)
    return backup


def listed(house: House, name: str) -> Any:
    [row] = [row for row in house("ls", "--json").json()["agents"] if row["name"] == name]
    return row


def started(house: House) -> dict[str, Any]:
    """What the broker that runs said first."""
    data: dict[str, Any] = house("cat", "--kind", "broker.started", "--json").lines()[-1]["data"]
    return data


def times(heard: Path, text: str) -> int:
    return sum(text in line for line in heard.read_text().splitlines())


def test_messages_after_a_restored_backup_arrive_once_and_have_new_ids(house: House) -> None:
    pid, heard = spawn(house, "bob")
    deliver(house, "bob", "before")
    backup = back_up(house)
    given = [deliver(house, "bob", f"old {number}") for number in range(4)]
    put_back(house, backup)
    house.up()
    assert listed(house, "bob")["pid"] == pid
    again = [deliver(house, "bob", f"new {number}") for number in range(4)]
    assert not set(given) & set(again)
    assert all("." in each for each in again)
    for number in range(4):
        assert (times(heard, f"old {number}"), times(heard, f"new {number}")) == (1, 1)
    story = house("why", again[0])
    assert story.code == 0, story.err
    assert "arrived" in story.out
    assert "lineage" not in started(house), "the journal knew it itself, and began one history"
    lost = house("cat", "--kind", "delivery.report_refused", "--json").lines()
    assert {row["data"]["event_id"] or row["data"]["delivery_id"] for row in lost}


def test_a_backup_that_is_put_back_twice_gives_no_id_twice(house: House) -> None:
    spawn(house, "bob")
    deliver(house, "bob", "before")
    backup = back_up(house)
    given = [deliver(house, "bob", "first")]
    put_back(house, backup)
    house.up()
    given.append(deliver(house, "bob", "second"))
    # A holder that went on in the history of the second obeys no other one that began there.
    assert house("down").code == 0
    put_back(house, backup)
    house.up()
    spawn(house, "bob")
    given.append(deliver(house, "bob", "third"))
    assert len(set(given)) == len(given)
    opened = [row["data"] for row in house("cat", "--kind", "journal.opened", "--json").lines()]
    assert re.search(r"\.(\w+)$", given[-1])[1] == opened[-1]["lineage"]  # type: ignore[index]
    assert started(house)["because"] == opened[-1]["because"]
    assert opened[-1]["because"].startswith("its LOCK ")


def test_a_copy_that_is_written_into_the_very_files_is_known_by_the_agents(house: House) -> None:
    spawn(house, "bob")
    deliver(house, "bob", "before")
    backup = back_up(house)
    given = [deliver(house, "bob", f"old {number}") for number in range(3)]
    house("down", "--keep-agents")
    for path in backup.iterdir():
        (house.directory / "journal" / path.name).write_bytes(path.read_bytes())
    house.up()
    again = [deliver(house, "bob", f"new {number}") for number in range(3)]
    assert not set(given) & set(again)
    assert started(house)["because"].startswith("bob was ")
    assert again[0].endswith(f".{started(house)['lineage']}")
    assert 0 < started(house)["forked_after"] < int(given[0].removeprefix("evt_"), 16)


def test_what_was_queued_when_the_backup_was_made_is_not_typed_again(house: House) -> None:
    _, heard = spawn(house, "bob")
    house("hold", "bob")
    house("send", "bob", "typed since")
    backup = back_up(house)
    house("flush", "bob")
    wait_until(lambda: times(heard, "typed since") == 1, "it is typed")
    house("auto", "bob")
    deliver(house, "bob", "and another one")
    put_back(house, backup)
    house.up()
    house("flush", "bob")
    house("auto", "bob")
    deliver(house, "bob", "after all")
    assert times(heard, "typed since") == 1
    assert times(heard, "after all") == 1


def test_a_restart_since_the_backup_does_not_lose_the_program(house: House) -> None:
    pid, heard = spawn(house, "bob")
    backup = back_up(house)
    for _ in range(3):
        assert house("down", "--keep-agents").code == 0
        house.up()
    put_back(house, backup)
    house.up()
    row = listed(house, "bob")
    assert (row["pid"], row["state"]) == (pid, "ready")
    deliver(house, "bob", "still there")
    assert times(heard, "still there") == 1
    assert house("down").code == 0
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "it ends with its broker")


def test_a_program_that_the_backup_does_not_know_is_named_and_left(house: House) -> None:
    spawn(house, "bob")
    backup = back_up(house)
    pid, _ = spawn(house, "later")
    put_back(house, backup)
    house.up()
    assert Path(f"/proc/{pid}").exists()
    told = house("ls")
    [holder] = re.findall(r"end it with: kill (\d+)", told.err + told.out)
    os.kill(int(holder), signal.SIGTERM)
    wait_for_end(pid)
    wait_for_end(int(holder))


def test_a_program_of_another_history_is_left_when_its_generation_is_given_again(
    house: House,
) -> None:
    backup = back_up(house)
    theirs, heard = spawn(house, "bob")
    put_back(house, backup)
    house.up()
    ours, _ = spawn(house, "bob")
    assert house("down", "--keep-agents").code == 0
    house.up()
    assert listed(house, "bob")["pid"] == ours
    deliver(house, "bob", "for ours")
    assert times(heard, "for ours") == 1, "it is the file of both"
    assert Path(f"/proc/{theirs}").exists()
    told = house("ls")
    [holder] = re.findall(r"end it with: kill (\d+)", told.err + told.out)
    os.kill(int(holder), signal.SIGTERM)
    wait_for_end(theirs)
    wait_for_end(int(holder))


def test_a_program_that_was_let_go_before_a_crash_is_ended_at_the_next_start(house: House) -> None:
    """Its holder is silent when it is let go, and hears of it from the next broker."""
    pid, _ = spawn(house, "bob")
    holder = parent_of(pid)
    os.kill(holder, signal.SIGSTOP)
    try:
        assert house("release", "bob", "--json").out
        house.kill_broker()
    finally:
        os.kill(holder, signal.SIGCONT)
    house.up()
    wait_for_end(pid)


def obey_another(house: House, name: str) -> Link:
    """Speak to the holder of this agent as the broker of another history would that goes on."""
    [path] = (house.directory / "holders").glob(f"{name}.*.sock")
    journal = Reader(house.directory / "journal").journal_id
    assert journal is not None
    while True:
        link = Link(str(path))
        try:
            link.hello(1, "another", journal, ("0badcafe",))
        except AssertionError:
            link.close()  # the holder has not heard yet that its broker is gone
        else:
            return link


def test_an_agent_that_obeys_another_history_is_unknown_and_neither_started_nor_ended(
    house: House,
) -> None:
    pid, heard = spawn(house, "bob")
    house.kill_broker()
    other = obey_another(house, "bob")
    house.up()
    row = listed(house, "bob")
    assert (row["pid"], row["state"]) == (pid, "unknown")
    told = house("ls")
    assert "the holder of bob does not obey this broker" in told.err + told.out
    restarted = house("restart", "bob")
    assert restarted.code == 8, restarted.err
    assert "ackbook release bob" in restarted.err or "release bob" in restarted.err
    house("send", "bob", "for later")
    down = house("down", "--json")
    assert (down.code, Path(f"/proc/{pid}").exists()) == (1, True)
    assert str(pid) in down.err
    assert heard.read_text() == ""
    other.send(EndOrder())
    wait_for_end(pid)
    other.close()


def sockets(house: House, name: str) -> list[Path]:
    """The names at which the holder of this agent is found: in the directory, and elsewhere."""
    listed = Path(os.environ["XDG_RUNTIME_DIR"]).glob(f"ackbook/*/{name}.*.sock")
    return [*(house.directory / "holders").glob(f"{name}.*.sock"), *listed]


def test_a_holder_whose_sockets_were_removed_is_found_again(house: House) -> None:
    pid, heard = spawn(house, "bob")
    house("down", "--keep-agents")
    for socket in sockets(house, "bob"):
        socket.unlink()
    wait_until(lambda: len(sockets(house, "bob")) == 2, "they are bound again")
    house.up()
    row = listed(house, "bob")
    assert (row["pid"], row["state"]) == (pid, "ready")
    deliver(house, "bob", "still there")
    assert times(heard, "still there") == 1


@pytest.mark.parametrize("where", ["holders", "listed"])
def test_one_name_is_enough_to_find_a_holder(house: House, where: str) -> None:
    """Something else stands at the other one, so that it cannot be bound again."""
    pid, _ = spawn(house, "bob")
    house("down", "--keep-agents")
    wait_until(lambda: len(sockets(house, "bob")) == 2, "it is found at both")
    first, second = sockets(house, "bob")
    blocked = second if where == "holders" else first
    blocked.unlink()
    blocked.mkdir()
    house.up()
    assert listed(house, "bob")["pid"] == pid
    blocked.rmdir()


def test_a_link_that_is_lost_while_no_socket_is_there_is_made_again(house: House) -> None:
    """The same broker's hello in another's mouth takes its link; nothing is concluded from that."""
    pid, heard = spawn(house, "bob")
    [started] = house("cat", "--kind", "broker.started", "--json").lines()
    journal = Reader(house.directory / "journal").journal_id
    assert journal is not None
    wait_until(lambda: len(sockets(house, "bob")) == 2, "it is found at both")
    link = Link(str(sockets(house, "bob")[0]))
    for socket in sockets(house, "bob"):
        socket.unlink()
    link.send(
        Hello(
            epoch=started["data"]["epoch"],
            journal_id=journal,
            instance=started["data"]["instance"],
            pid=started["data"]["pid"],
            started=started_at(started["data"]["pid"]),
        )
    )
    link.wait(Welcome)
    link.close()
    deliver(house, "bob", "as before")
    assert times(heard, "as before") == 1
    assert listed(house, "bob")["pid"] == pid
    assert house("cat", "--kind", "agent.exited", "--json").out == ""


def test_agents_of_a_directory_that_was_removed_and_restored_are_found(house: House) -> None:
    """`rm -rf`, and back from the backup: the sockets went with the directory."""
    pid, heard = spawn(house, "bob")
    deliver(house, "bob", "before")
    house("down", "--keep-agents")
    backup = house.root / "backup"
    subprocess.run(["cp", "-a", house.directory, backup], check=True)
    wait_until(lambda: len(sockets(house, "bob")) == 2, "it is found at both")
    shutil.rmtree(house.directory)
    shutil.copytree(backup / "journal", house.directory / "journal")
    house.up()
    row = listed(house, "bob")
    assert (row["pid"], row["state"]) == (pid, "ready")
    deliver(house, "bob", "x" * 20_000)
    spooled = re.findall(r"(/\S+\.txt)", heard.read_text())
    assert len(spooled) == 1
    assert Path(spooled[0]).is_relative_to(house.directory)
    wait_until(lambda: len(sockets(house, "bob")) == 2, "it listens there, too")
    house("down")
    wait_for_end(pid)


def test_a_copy_lists_the_agents_of_the_original_and_touches_nothing(house: House) -> None:
    pid, heard = spawn(house, "bob")
    house("hold", "bob")
    house("send", "bob", "once")
    wait_until(lambda: len(sockets(house, "bob")) == 2, "it is found at both")
    copy = House(house.root, "copy")
    subprocess.run(["cp", "-a", house.directory, copy.directory], check=True)
    with closing(copy):
        copy.up()
        row = listed(copy, "bob")
        assert (row["pid"], row["state"]) == (pid, "elsewhere")
        told = copy("ls")
        assert f"still runs (pid {house.broker_pid})" in told.err + told.out
        copy("auto", "bob")
        assert copy("restart", "bob").code == 8
        assert copy("down").code == 0
    assert copy("cat", "--kind", "agent.exited", "--json").out == ""
    house("auto", "bob")
    deliver(house, "bob", "after it")
    assert (times(heard, "once"), times(heard, "after it")) == (1, 1)
    assert house("ls").err == ""


def test_a_program_that_is_spawned_in_the_original_is_nobodys_in_a_copy(house: House) -> None:
    copy = House(house.root, "copy")
    subprocess.run(["cp", "-a", house.directory, copy.directory], check=True)
    pid, _ = spawn(house, "later")
    wait_until(lambda: len(sockets(house, "later")) == 2, "it is found at both")
    with closing(copy):
        copy.up()
        assert "later" not in copy("ls").out + copy("ls").err
        assert copy("down").code == 0
    assert listed(house, "later")["pid"] == pid
