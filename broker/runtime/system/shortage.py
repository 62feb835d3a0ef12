"""Shortage: what the machine says when it has no more processes, descriptors or memory to give.

It passes by itself, and it is no proof of anything: a socket that could not be opened for lack of a
descriptor may well have somebody who listens. So whoever meets it says so, and tries again.
"""

from __future__ import annotations

import errno

NO_THREAD = "can't start new thread"
"""What Python says where there is no memory for the stack of one, or no number for it."""

_NO_DESCRIPTOR = "too many files are open; close some, or allow more with: ulimit -n"
_NO_PROCESS = "no further process or thread can be started; end some, or allow more with: ulimit -u"

_SAID = {
    errno.EMFILE: _NO_DESCRIPTOR,
    errno.ENFILE: _NO_DESCRIPTOR,
    errno.EAGAIN: _NO_PROCESS,
    errno.ENOMEM: "there is not enough memory; free some",
}


def shortage(error: BaseException) -> str | None:
    """What is short, and what to do about it; None where something else is wrong."""
    match error:
        case OSError():
            return _SAID.get(error.errno or 0)
        case RuntimeError() if str(error) == NO_THREAD:
            return _NO_PROCESS
        case MemoryError():
            return _SAID[errno.ENOMEM]
        case _:
            return None
