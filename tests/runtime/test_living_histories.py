"""No promise breaks in random histories under living holders, and one that is broken is noticed."""

import pytest

from tests.journal.mutations import Patch
from tests.runtime.living_histories import run_history
from tests.runtime.living_mutations import MUTATIONS
from tests.runtime.living_oracle import Broken

pytestmark = pytest.mark.filterwarnings(
    # A broker that is killed closes nothing; the machine does.
    "ignore:unclosed <StreamWriter:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)

PINNED = {
    "nothing_settled_is_named": 22,
    "a_text_that_was_typed_is_begun_again": 53,
    "no_history_begins_after_testimony": 20,
    "nobody_is_asked": 20,
    "ids_end_in_no_tag": 40,
    "a_refusal_is_taken_for_an_end": 0,
    "silence_is_taken_for_an_end": 4,
    "a_broker_that_runs_is_not_looked_for": 0,
    "epochs_are_ignored": 40,
    "reports_are_settled_before_they_are_durable": 19,
    "another_text_under_a_known_name_is_believed": 321,
    "reports_of_the_time_between_are_not_heard": 0,
    "programs_of_other_histories_are_ended": 10,
    "what_is_owed_is_said_once": 180,
}
"""A seed at or before the first history that notices each mutation."""

HISTORIES_MAX = 60

PID = 12_345
"""Whose histories those seeds are."""


@pytest.fixture(autouse=True)
def one_pid(monkeypatch: pytest.MonkeyPatch) -> None:
    """LOCK and `journal.opened` tell the pid: with more digits a seed is another history."""
    monkeypatch.setattr("os.getpid", lambda: PID)


@pytest.fixture
def silent_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that was set back as a whole shows nothing: what holders say is all there is."""
    monkeypatch.setattr(
        "ackbook.journal.recovery.open_log.put_back_because", lambda lock, found: ""
    )


@pytest.mark.usefixtures("silent_files")
def test_no_promise_breaks_where_only_holders_know_of_another_history() -> None:
    run_histories(0, 60)


def test_no_promise_breaks_in_random_histories() -> None:
    run_histories(0, 60)


def test_a_history_is_the_same_each_time() -> None:
    assert run_history(7) == run_history(7)


@pytest.mark.usefixtures("silent_files")
@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_what_is_broken_on_purpose_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patch: Patch = monkeypatch.setattr
    MUTATIONS[name](patch)
    with pytest.raises(Broken):
        run_histories(PINNED[name], HISTORIES_MAX)


def run_histories(first: int, count: int) -> None:
    for seed in range(first, first + count):
        run_history(seed)
