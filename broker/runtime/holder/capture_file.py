"""Keeps what stood on the screen when evidence was taken, for whoever asks about it later.

One file a holder, of bounded size: when it is half full it becomes the `.old` one, in the place of
the one before. It outlives the holder and its agent, since questions come afterwards; of all files
in the directory the newest stay. Nothing waits for it, it is never synced, and a write that fails
costs a picture and nothing else. It has the text of messages in it: it is for its owner only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.runtime.system.private_paths import make_private
from ackbook.broker.wire.attempts import AttemptKey
from ackbook.broker.wire.evidence import TerminalView
from ackbook.broker.wire.frames import TypeOrder
from ackbook.broker.wire.screen_captures import CaptureMoment, Still, encode_still

BYTES_MAX = 1024 * 1024
"""Of one holder, both files together: some hundred screens of the usual size."""

FILES_MAX = 128
"""Of all holders: two each, so the newest sixty or so."""

OLD = ".old"

_ATTEMPTS_MAX = 64
"""Attempts of which it is remembered what was kept; later evidence comes for the newest ones."""


class CaptureFile:
    """The pictures of one holder, in the file `path`; none are kept where that is empty."""

    def __init__(self, path: str, view: Callable[[], TerminalView]) -> None:
        self._path = path
        self._view = view
        self._windows_ms: dict[AttemptKey, int] = {}
        self._reports: OrderedDict[AttemptKey, Report] = OrderedDict()
        self._torn = False
        self._begun = False

    def ordered(self, order: TypeOrder) -> None:
        """An attempt may begin, and its text will be looked for during this window."""
        self._windows_ms[order.delivery_id, order.attempt] = order.window_ms

    def told(self, report: Report) -> None:
        """Keep the screen when this report is the first to say that a text was seen, or that it
        was submitted; and when the window is over and none has said so, what stands there instead.
        """
        key = (report.delivery_id, report.attempt)
        before = self._reports.get(key)
        self._reports[key] = report
        if len(self._reports) > _ATTEMPTS_MAX:
            self._windows_ms.pop(self._reports.popitem(last=False)[0], None)
        if report.seen is not None and (before is None or before.seen is None):
            self._keep(key, "seen")
        elif report.submitted is not None and (before is None or before.submitted is None):
            self._keep(key, "submitted")

        if report.phase == "written" and (before is None or before.phase != "written"):
            window_ms = self._windows_ms.pop(key, 0)
            asyncio.get_running_loop().call_later(window_ms / 1_000, self._window_over, key)

    def _window_over(self, key: AttemptKey) -> None:
        report = self._reports.get(key)
        if report is not None and report.seen is None and report.submitted is None:
            self._keep(key, "not_seen")

    def _keep(self, key: AttemptKey, moment: CaptureMoment) -> None:
        if not self._path:
            return
        view = self._view()
        still = Still(
            delivery_id=key[0],
            attempt=key[1],
            moment=moment,
            at=time.time_ns() // 1_000,
            offset=view.offset,
            cols=view.cols,
            cursor=view.cursor,
            rows=view.rows,
        )
        line = encode_still(still)
        if len(line) <= BYTES_MAX // 2:
            try:
                self._write(line)
            except OSError:
                self._torn = True

    def _write(self, line: bytes) -> None:
        if not self._begun:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            make_private(Path(os.path.dirname(self._path)))
            _remove_oldest(os.path.dirname(self._path))
            self._begun = True
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self._path).st_size + len(line) + 1 > BYTES_MAX // 2:
                os.replace(self._path, self._path + OLD)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(self._path, flags, 0o600)
        try:
            # A line that was not written to its end must not spoil the next one.
            data = b"\n" + line if self._torn else line
            self._torn = os.write(file, data) < len(data)
        finally:
            os.close(file)


def _remove_oldest(directory: str) -> None:
    """Let go of the files of holders that nobody has heard of for longest."""
    with os.scandir(directory) as files:
        aged = sorted((file.stat(follow_symlinks=False).st_mtime, file.path) for file in files)
    for _, path in aged[: max(0, len(aged) - FILES_MAX + 2)]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
