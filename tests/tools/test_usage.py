"""What holds for every verb: how it is asked for, what it says when it cannot, how it ends."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from ptyprocess import PtyProcess

from ackbook.broker.runtime.system import unix_sockets
from ackbook.tools.main import VERBS
from tests.support.past import Past, a_busy_day
from tests.support.shell import ACKBOOK, ackbook, environment, wait_for_end

EVERY_VERB = [name for verbs in VERBS.values() for name in verbs]

NEED_A_BROKER = {
    "attach": ("attach", "--view", "bob"),
    "auto": ("auto", "bob"),
    "cancel": ("cancel", "evt_1"),
    "dead": ("dead",),
    "down": ("down",),
    "flush": ("flush", "bob"),
    "hold": ("hold", "bob"),
    "ls": ("ls",),
    "pending": ("pending",),
    "redeliver": ("redeliver", "--all"),
    "release": ("release", "bob"),
    "restart": ("restart", "bob"),
    "screen": ("screen", "bob"),
    "send": ("send", "bob", "hello"),
    "spawn": ("spawn", "bob", "--", "cat"),
}
NEED_A_JOURNAL = {
    "backup": ("backup", "copy"),
    "cat": ("cat",),
    "events": ("events",),
    "head": ("head",),
    "repair": ("repair",),
    "replay": ("replay",),
    "salvage": ("salvage", "--out", "saved"),
    "stat": ("stat",),
    "verify": ("verify",),
    "why": ("why", "evt_1"),
}


def test_an_interrupt_while_a_command_is_still_being_loaded_is_no_traceback(tmp_path: Path) -> None:
    """Everything that is loaded before the first line of ours runs is Python's own."""
    module = tmp_path / "ackbook_interrupted.py"
    module.write_text(
        "import builtins, sys\n"
        "load = builtins.__import__\n"
        "def interrupted(name, *rest):\n"
        "    if name == 'click':\n"
        "        raise KeyboardInterrupt\n"
        "    return load(name, *rest)\n"
        "builtins.__import__ = interrupted\n"
        "from ackbook.__main__ import command\n"
        "sys.exit(command())\n"
    )
    done = subprocess.run(
        [sys.executable, module], env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_overview_names_every_verb_with_what_it_does(tmp_path: Path) -> None:
    done = ackbook("--help", cwd=tmp_path)
    assert done.code == 0
    for verbs in VERBS.values():
        for name, verb in verbs.items():
            assert f"  {name} " in done.out
            assert verb.summary in done.out


@pytest.mark.parametrize("verb", EVERY_VERB)
def test_every_verb_explains_itself(verb: str, tmp_path: Path) -> None:
    done = ackbook(verb, "--help", cwd=tmp_path)
    assert done.code == 0
    assert done.out.startswith(f"Usage: ackbook {verb} ")
    if verb != "completion":
        assert "--dir DIR" in done.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("send", "bob"),
        ("send", "bob", ""),
        ("send", "bob", "hello", "--priority", "5"),
        ("send", "bob", "hello", "--need", "answered"),
        ("send", "bob", "hello", "--wait", "-1"),
        ("send", "--nonsense", "bob", "hello"),
        ("spawn", "bob"),
        ("spawn", "bob", "cat", "-u"),
        ("redeliver",),
        ("redeliver", "del_1_1", "--all"),
        ("completion", "tcsh"),
        ("salvage",),
        ("backup",),
        ("verify", "--head", "nonsense"),
        ("cat", "--from", "0"),
        ("attach", "bob"),
    ],
    ids=" ".join,
)
def test_a_wrong_use_ends_with_2_and_prints_no_data(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = ackbook(*arguments, cwd=tmp_path)
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err


@pytest.mark.parametrize("verb", sorted(NEED_A_BROKER))
def test_without_a_broker_a_verb_says_how_to_start_one(verb: str, tmp_path: Path) -> None:
    done = ackbook(*NEED_A_BROKER[verb], cwd=tmp_path)
    here = tmp_path / ".ackbook"
    assert done.code == 3
    assert done.out == ""
    assert done.err == (
        f"ackbook: no broker is running in {here};"
        f" start one with: ackbook up --dir {shlex.quote(str(here))}\n"
    )


@pytest.mark.parametrize("verb", sorted(NEED_A_JOURNAL))
def test_without_a_journal_a_verb_says_where_it_looked(verb: str, tmp_path: Path) -> None:
    done = ackbook(*NEED_A_JOURNAL[verb], "--dir", "somewhere", cwd=tmp_path)
    assert done.code == 3
    assert done.out == ""
    assert done.err.startswith(f"ackbook: there is no journal in {tmp_path / 'somewhere'};")
    assert not (tmp_path / "somewhere").exists()


@pytest.mark.parametrize(
    ("arguments", "variables", "meant"),
    [
        (("--dir", "before", "ls"), {}, "before"),
        (("ls", "--dir", "after"), {}, "after"),
        (("--dir", "before", "ls", "--dir", "after"), {}, "after"),
        (("ls",), {"ACKBOOK_DIR": "named"}, "named"),
        (("ls", "--dir", "after"), {"ACKBOOK_DIR": "named"}, "after"),
        (("ls",), {"ACKBOOK_DIR": ""}, ".ackbook"),
    ],
)
def test_the_directory_after_the_verb_wins_then_the_one_before_it_then_the_environment(
    arguments: tuple[str, ...], variables: dict[str, str], meant: str, tmp_path: Path
) -> None:
    done = ackbook(*arguments, cwd=tmp_path, env=variables)
    assert f"no broker is running in {tmp_path / meant};" in done.err


def test_a_connection_left_by_a_dead_broker_is_no_broker_whoever_has_its_port_now(
    tmp_path: Path,
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    wait_for_end(ended.pid)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        _connection(tmp_path, pid=ended.pid, port=stranger.getsockname()[1])
        done = ackbook("ls", "--dir", tmp_path, cwd=tmp_path)
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):
            stranger.accept()  # the key was shown to nobody
    assert done.code == 3
    assert f"no broker is running in {tmp_path} (process {ended.pid} ended" in done.err


def test_an_answer_that_comes_before_the_question_is_read_is_heard(tmp_path: Path) -> None:
    """A server may refuse a large body at once and close: the refusal counts, not the reset."""
    answer = b'{"code":"too_large","message":"a body has at most 7 bytes"}'
    head = b"HTTP/1.1 413 x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

    def refuse(server: socket.socket) -> None:
        asked = False
        while not asked:  # who only looks who listens here says nothing
            connection, _ = server.accept()
            with connection:
                if asked := bool(connection.recv(1024)):
                    connection.sendall(head % len(answer) + answer)

    with closing(unix_sockets.listen(str(tmp_path / "broker.sock"))) as server:
        server.setblocking(True)
        answering = threading.Thread(target=refuse, args=(server,))
        answering.start()
        done = ackbook("send", "bob", "-", "--dir", tmp_path, cwd=tmp_path, stdin=b"x" * 9_000_000)
        answering.join()
    assert done.code == 8, done.err
    assert "at most 7 bytes; put it into a file" in done.err


def test_a_connection_whose_number_another_process_has_now_is_no_broker(tmp_path: Path) -> None:
    _connection(tmp_path, pid=os.getpid(), port=1)
    done = ackbook("ls", "--dir", tmp_path, cwd=tmp_path)
    assert done.code == 3
    assert f"no broker is running in {tmp_path}" in done.err


def test_a_connection_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "connection.json").write_text('{"url": 7}')
    done = ackbook("ls", "--dir", tmp_path, cwd=tmp_path)
    assert done.code == 1
    assert str(tmp_path / "connection.json") in done.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_one_that_its_shell_can_ask(shell: str, tmp_path: Path) -> None:
    script = ackbook("completion", shell, cwd=tmp_path)
    assert script.code == 0
    assert "_ACKBOOK_COMPLETE" in script.out
    words = {"COMP_WORDS": "ackbook ver", "COMP_CWORD": "1" if shell != "fish" else "ver"}
    asked = ackbook(cwd=tmp_path, env={"_ACKBOOK_COMPLETE": f"{shell}_complete", **words})
    assert "verify" in asked.out
    assert "spawn" not in asked.out


def test_a_standard_stream_that_is_closed_does_no_harm(tmp_path: Path) -> None:
    command = " ".join(ACKBOOK)
    for closed in ("<&-", ">&-", "2>&-"):
        done = subprocess.run(
            ["sh", "-c", f"{command} ls --dir . {closed}"],
            cwd=tmp_path,
            env=environment(),
            check=False,
            capture_output=True,
        )
        assert done.returncode == 3
        assert b"Traceback" not in done.stderr


def test_an_argument_that_is_not_utf8_is_a_wrong_use(tmp_path: Path) -> None:
    with closing(unix_sockets.listen(str(tmp_path / "broker.sock"))):
        for arguments in ((b"send", b"bob", b"\xff"), (b"screen", b"\xff")):
            done = subprocess.run(
                [*ACKBOOK, *arguments, "--dir", tmp_path],
                env=environment(),
                check=False,
                capture_output=True,
            )
            assert done.returncode == 2
            assert b"not UTF-8" in done.stderr


@pytest.mark.parametrize(
    ("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["", "NO_COLOR"]
)
def test_colour_is_for_terminals_that_want_it(
    variables: dict[str, str], coloured: bool, tmp_path: Path
) -> None:
    past = tmp_path / "journal"
    ids = a_busy_day(past)
    for arguments in (("replay",), ("why", ids["evicted"]), ("ls",), ("verify",), ("events",)):
        shown = in_a_terminal(*arguments, "--dir", str(tmp_path), **variables)
        assert (b"\x1b[" in shown) is coloured, (arguments, shown)
        assert "\x1b" not in ackbook(*arguments, "--dir", tmp_path, cwd=tmp_path).out


def in_a_terminal(*arguments: str, **variables: str) -> bytes:
    """What a command shows on a terminal of 80 columns."""
    env = environment(TERM="xterm-256color", **variables)
    process = PtyProcess.spawn([*ACKBOOK, *arguments], env=env)
    shown = b""
    try:
        while True:
            shown += process.read()
    except EOFError:
        return shown
    finally:
        process.close(force=True)


def test_a_table_fits_the_terminal_and_a_pipe_gets_every_cell_whole(tmp_path: Path) -> None:
    name = "an-agent-with-a-name-that-is-rather-long-and-goes-on-and-on-for-a-while"
    with Past(tmp_path / "journal") as past:
        past.start()
        past.spawn(name)
    shown = in_a_terminal("replay", "--dir", str(tmp_path), NO_COLOR="1").decode()
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "ready" in shown
    assert name in ackbook("replay", "--dir", tmp_path, cwd=tmp_path).out


def _connection(directory: Path, *, pid: int, port: int) -> None:
    (directory / "connection.json").write_text(
        f'{{"url":"http://127.0.0.1:{port}","port":{port},"api_key":"br_0","pid":{pid}}}'
    )
