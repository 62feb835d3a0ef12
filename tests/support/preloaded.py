"""Commands without the time that Python takes to start: a process that has imported everything
forks one for each.

What runs is the real `ackbook` in a process of its own, with its own arguments, environment,
directory, descriptors and exit code; only its imports were done before. Output goes to files, so
nobody waits for what a command leaves behind. `tests/tools/test_preloaded.py` holds both ways to
the same answers.

`python -m tests.support.preloaded FD` serves the requests that come over that socket until it ends.
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
REQUEST_BYTES_MAX = 1 << 20
"""Arguments and an environment; the largest of the tests have some 100 KiB."""


class Preloaded:
    """The process, from this side. It ends with the one that made it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, REQUEST_BYTES_MAX)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.preloaded", str(theirs.fileno())],
                cwd=ROOT,
                # Nothing of the tests that happen to need it first: it outlives them.
                env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End it; what it was asked to run has ended before."""
        self._control.close()
        self._process.wait()

    def run(
        self, arguments: list[str], cwd: Path, env: dict[str, str], stdin: bytes, patience_s: float
    ) -> tuple[int, bytes, bytes]:
        """The exit code (negative: the signal that ended it), and what it wrote. Raises
        `TimeoutError` where it does not end; then it is killed."""
        ours, theirs = socket.socketpair()
        request = json.dumps({"arguments": arguments, "cwd": str(cwd), "env": env}).encode()
        with ours, tempfile.TemporaryFile() as given, _output() as out, _output() as err:
            given.write(stdin)
            given.seek(0)
            with theirs:
                handles = [each.fileno() for each in (given, out, err, theirs)]
                socket.send_fds(self._control, [request], handles)
            ours.settimeout(patience_s)
            answers = ours.makefile("r")
            pid = int(answers.readline())
            try:
                code = int(answers.readline())
            except TimeoutError:
                os.kill(pid, 9)
                raise
            out.seek(0)
            err.seek(0)
            return code, out.read(), err.read()


def _output() -> io.BufferedRandom:
    return tempfile.TemporaryFile()  # type: ignore[return-value]


def serve(control: socket.socket) -> None:
    """Fork a command for each request, and tell its pid and, later, how it ended."""
    running = selectors.DefaultSelector()
    running.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in running.select():
            if key.fileobj is control:
                request, handles, _, _ = socket.recv_fds(control, REQUEST_BYTES_MAX, 4)
                if not request:
                    return
                asker = socket.socket(fileno=handles.pop())
                pid = os.fork()
                if pid == 0:
                    control.close()
                    asker.close()
                    running.close()
                    _become(json.loads(request), handles)
                for handle in handles:
                    os.close(handle)
                asker.send(f"{pid}\n".encode())
                running.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, asker))
            else:
                pid, asker = key.data
                running.unregister(key.fileobj)
                os.close(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with asker:
                    asker.send(f"{code}\n".encode())


def _become(request: dict[str, object], handles: list[int]) -> None:
    """The command, in this process, which ends with it."""
    code = 1
    try:
        for number, handle in enumerate(handles):
            os.dup2(handle, number)
            os.close(handle)
        os.environ.clear()
        os.environ.update(request["env"])  # type: ignore[call-overload]
        os.chdir(str(request["cwd"]))
        from ackbook import __main__ as start

        assert start.__file__ is not None
        sys.argv = [start.__file__, *request["arguments"]]  # type: ignore[misc]
        sys.stdin = _text(0, "r", "strict")
        sys.stdout = _text(1, "w", "strict")
        sys.stderr = _text(2, "w", "backslashreplace")
        code = start.command()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _text(number: int, mode: str, errors: str) -> io.TextIOWrapper:
    return open(number, mode, encoding="utf-8", errors=errors, closefd=False)  # type: ignore[return-value]


def main() -> None:
    """Import all that a command may import, and serve."""
    from ackbook.tools.main import VERBS

    for verbs in VERBS.values():
        for verb in verbs.values():
            import_module(f"ackbook.tools.{verb.module}")
    import_module("ackbook.broker.runtime.app")
    sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != ROOT]
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
