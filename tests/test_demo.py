"""The demo ends with 0 only when every proof held, and leaves nothing running either way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ackbook.tools.demo.cast import transcript
from ackbook.tools.demo.stage import Broken, Stage

ROOT = Path(__file__).parent.parent
DEMO_S_MAX = 400
"""Many times what it takes on a quiet machine."""

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(DEMO_S_MAX + 60)]


@contextmanager
def demo(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo as a process, with its directory under this one."""
    process = subprocess.Popen(
        (sys.executable, "-m", "ackbook.tools.demo"),
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_every_proof_of_the_demo_holds(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        told, _ = process.communicate(timeout=DEMO_S_MAX)
    assert process.returncode == 0, told
    assert "✗" not in told
    assert re.search(r"alice: 50 acknowledged, 50 in the transcript, each once, in order", told)
    assert "\x1b" not in told, "colour is for terminals"


def test_an_interrupted_demo_ends_what_it_started(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        assert process.stdout
        for line in process.stdout:
            if "ackbook spawn bob" in line:
                break
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=DEMO_S_MAX)
    assert process.returncode == 130, told
    assert "interrupted" in told


def test_a_proof_that_does_not_hold_is_loud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stage = Stage()
    stage.prove(True, "this holds")
    with pytest.raises(Broken, match="this does not; found 3"):
        stage.prove(False, "this does not", 3)
    with pytest.raises(Broken, match="exit code 2"):
        stage.show("no-such-verb")
    assert stage.proofs == 1


def test_a_transcript_shows_repetitions_and_order(tmp_path: Path) -> None:
    lines = [
        "Relay message from director [evt_2b]: burst 1",
        '{"text":"Relay message from human in #all [evt_2a]: hello\\nagain"}',
        "Relay message from director [evt_2b]: burst 1",
    ]
    (tmp_path / "erin.transcript").write_text("\n".join(lines))
    assert transcript(tmp_path, "erin") == ["evt_2b", "evt_2a", "evt_2b"]
