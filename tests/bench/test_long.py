"""The long campaign on a short history: every step ends as it should, and what it took is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bench.long import Step, has_grown

ROOT = Path(__file__).parent.parent.parent


def test_everything_is_done_to_both_journals_and_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.long", "--records", "12000", "--beside", "6000"]
    done = subprocess.run(
        [*command, "--dir", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=380
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for step in ("build", "verify --full", "salvage", "compact", "why,", "replay --to", "backup"):
        assert step in done.stdout
    assert list(tmp_path.iterdir()) == [], "nothing is left"


def test_memory_that_grows_with_history_is_noticed() -> None:
    def step(peak_kib: int) -> Step:
        return Step("verify", 0, 1.0, 1.0, peak_kib, "")

    assert not has_grown(step(70_000), step(90_000))
    assert has_grown(step(70_000), step(180_000))
