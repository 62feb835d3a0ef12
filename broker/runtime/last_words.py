"""Last words: of all that goes wrong when a broker ends, what ended it is told, and told first.

A disk that fails takes more with it: waiters learn nothing, files cannot be removed, a journal
cannot be closed. None of that may stand in the place of its reason.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from ackbook.broker.runtime.engine.inbox import OutcomeUnknown, Stopped
from ackbook.journal import JournalError, Poisoned

log = logging.getLogger("ackbook")


def cause_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What really went wrong, of all that went wrong together and however deep: what the journal
    says of its disk before what follows from it, and else the first of the errors."""
    found = list(_leaves(group))
    for follows in (Stopped, OutcomeUnknown, Poisoned):
        found = [each for each in found if not isinstance(each, follows)] or found
    return next((each for each in found if isinstance(each, JournalError)), found[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


@contextlib.contextmanager
def at_the_end(act: Callable[[], None]) -> Iterator[None]:
    """Do this when the block is over, however it ended. What the block raised is what ended the
    broker: a failure of `act` is logged then, and told only where there is no other."""
    try:
        yield
    except BaseException:
        try:
            act()
        except (OSError, JournalError) as error:
            log.error("and while it ended: %s", error)
        raise
    act()
