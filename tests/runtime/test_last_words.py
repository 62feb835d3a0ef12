"""What ends a broker is the first thing that it says and logs, whatever fails after it."""

from __future__ import annotations

import pytest

from ackbook.broker.runtime.engine.inbox import OutcomeUnknown, Stopped
from ackbook.broker.runtime.last_words import at_the_end, cause_of
from ackbook.journal import DiskFailed, Poisoned
from tests.support.brokers import idle

DISK = DiskFailed("the sync failed", "look after the disk")
LATER = Poisoned("an earlier failure ended this log", "open it again")


def test_a_failed_sync_is_said_first_and_the_file_that_could_not_be_removed_after_it() -> None:
    with idle() as broker:
        mood = broker.directory.parent / "mood"
        mood.write_text("well")
        broker.start("--disk", str(mood))
        connection = broker.directory / "connection.json"
        connection.unlink()
        (connection / "in the way").mkdir(parents=True)  # now it cannot be removed
        before = len(broker.stderr())
        mood.write_text("dying")
        answer = broker.http.post("/api/send", json={"to": "#all", "text": "hi"})
        assert answer.json()["code"] == "outcome_unknown"
        assert broker.wait() == 74
        said = broker.stderr()[before:].splitlines()
        assert "the broker ends: " in said[0]
        assert "Input/output error" in said[0]
        assert said[-1].startswith("ackbook: ")
        assert "Input/output error" in said[-1]
        for line in said:
            assert "connection.json" not in line or "and while it ended: " in line
        assert "Traceback" not in "".join(said)
        (connection / "in the way").rmdir()
        connection.rmdir()
        mood.write_text("well")
        broker.start("--disk", str(mood))


def test_what_is_not_of_this_broker_is_left_where_it_is() -> None:
    with idle() as broker:
        broker.start()
        connection = broker.directory / "connection.json"
        other = broker.directory / "other"
        other.mkdir()  # while ours is there, so that it is another one for sure
        connection.unlink()
        other.rename(connection)
        assert broker.stop() == 0
        connection.rmdir()
        assert broker.verified()


@pytest.mark.parametrize(
    "together",
    [
        [OutcomeUnknown(), DISK],
        [LATER, DISK],
        [OSError("a socket"), LATER, DISK],
        [BaseExceptionGroup("inner", [Stopped(), BaseExceptionGroup("inmost", [DISK])]), LATER],
    ],
)
def test_of_what_fails_together_the_reason_is_told(together: list[BaseException]) -> None:
    assert cause_of(BaseExceptionGroup("all", together)) is DISK


def test_where_only_consequences_are_known_the_first_of_them_is_told() -> None:
    first = OSError("a socket")
    assert cause_of(BaseExceptionGroup("all", [OutcomeUnknown(), first])) is first
    assert cause_of(BaseExceptionGroup("all", [LATER, OutcomeUnknown()])) is LATER


def test_an_end_is_done_however_it_came_and_hides_no_reason() -> None:
    done: list[str] = []

    def fail() -> None:
        done.append("tried")
        raise OSError("it cannot be removed")

    with pytest.raises(DiskFailed), at_the_end(fail):
        raise DISK
    with pytest.raises(OSError, match="cannot be removed"), at_the_end(fail):
        pass
    assert done == ["tried", "tried"]
