"""How a log came to its end before its time: what failed first, told to everyone who asks later.

After a failure nothing is written any more, and only opening the journal again says what is
durable. What was displaced is said to be that for ever: the disk did not fail.
"""

from pathlib import Path
from types import TracebackType

from ackbook.journal.errors import DiskFailed, Displaced, Poisoned
from ackbook.journal.next_step import verify_step


class Poison:
    """Of one writer. `taken` says that it ended. As a context it ends the log with whatever the
    machine refuses inside, and with `Displaced`."""

    __slots__ = ("_directory", "_failure", "taken")

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._failure: DiskFailed | None = None
        self.taken = False

    def check(self) -> None:
        """Raises `Poisoned` after a failure; `Displaced` again when that is how it ended."""
        if not self.taken:
            return
        failure = self._failure
        if isinstance(failure, Displaced):
            raise Displaced(failure.what, failure.next_step)
        raise Poisoned(
            f"{self._directory} failed before; what was staged since has an unknown outcome",
            verify_step(self._directory, "end this process and start again, then "),
        )

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            raise self.failed(error) from error
        if isinstance(error, Displaced):
            self.ended(error)

    def interrupted(self) -> None:
        """Nobody knows what the file holds."""
        self.taken = True

    def failed(self, error: OSError) -> DiskFailed:
        """The machine refused. Gives the error to raise."""
        step = verify_step(self._directory, "end this process, look after the disk, then ")
        what = f"{self._directory} cannot be written ({error}); the outcome of the batch is unknown"
        return self.ended(DiskFailed(what, step))

    def ended(self, failure: DiskFailed) -> DiskFailed:
        """This is what ended it, unless something did before. Gives the error to raise."""
        self.taken = True
        if self._failure is None:
            self._failure = failure
        return failure
