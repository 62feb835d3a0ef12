"""One request over the socket in a broker's directory, in a process of its own.

`python -m tests.support.asks_socket DIR METHOD PATH BODY [NAME:VALUE...]` prints the status and the
body of the answer; headers as they are named. With `--leave` first it has a session of its own;
with `--after FILE` it connects, writes the file, and asks when it is hung up on; with `--tell FILE`
it writes the file when it has asked.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import sys
from pathlib import Path

from ackbook.broker.runtime.system import unix_sockets


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--leave", action="store_true")
    parser.add_argument("--after", type=Path)
    parser.add_argument("--tell", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("method")
    parser.add_argument("path")
    parser.add_argument("body")
    parser.add_argument("headers", nargs="*")
    given = parser.parse_args()
    if given.leave:
        os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    link = http.client.HTTPConnection("localhost")
    link.sock = unix_sockets.connect(str(given.directory / "broker.sock"))
    link.sock.settimeout(150)
    if given.after is not None:
        given.after.touch()
        signal.sigwait({signal.SIGHUP})
    headers = dict(each.split(":", 1) for each in given.headers)
    link.request(given.method, given.path, given.body.encode(), headers)
    if given.tell is not None:
        given.tell.touch()
    answer = link.getresponse()
    print(answer.status, answer.read().decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
