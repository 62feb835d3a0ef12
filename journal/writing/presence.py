"""Whether what a writer holds open is still what its names say.

A writer goes on into the files that it opened, whatever becomes of their names; so what it
acknowledges may be where nobody looks. Therefore each batch is acknowledged only after a look, when
it is durable already: whoever goes by the names at that moment, or later, finds it. The same look
is had about once a second while nothing is written.

| the name | means something else when |
|---|---|
| the directory's | it was moved or removed, a backup took its place, a volume was mounted there |
| LOCK's | it was removed: others may believe that nobody writes here |
| HEAD's, the tail's | files were restored or edited one by one |

The look that each batch waits for is one `stat` of LOCK by its full name, and one of the tail's
descriptor: when LOCK is the one that is held, so is the directory around it, unless somebody made
links; then, and once a second, every name is looked at. It changes nothing.
"""

from ackbook.journal.errors import Displaced
from ackbook.journal.format.head import Head
from ackbook.journal.format.layout import HEAD, LOCK
from ackbook.journal.next_step import verify_step
from ackbook.journal.storage.files import FileStatus
from ackbook.journal.writing.tail import Tail
from ackbook.journal.writing.writer_lock import WriterLock


class Presence:
    """Of one writer: its directory, its LOCK, its HEAD, its tail."""

    __slots__ = ("_everybody", "_held", "_lock", "_lock_path", "_names", "_tail")

    def __init__(self, lock: WriterLock, head: Head, tail: Tail) -> None:
        self._held = lock.files
        self._everybody = lock.files.others
        self._lock = self._held.status(lock.handle)
        self._lock_path = self._held.directory / LOCK
        self._names: dict[str, FileStatus] = {}
        self._tail = tail
        self.follow(head, tail)

    def follow(self, head: Head, tail: Tail) -> None:
        """From now on these are written."""
        self._tail = tail
        self._names = {
            LOCK: self._lock,
            HEAD: self._held.status(head.handle),
            tail.path.name: self._held.status(tail.handle),
        }

    def glance(self, acknowledged: int) -> None:
        """What `check` promises, at the price of a glance, as far as the directory and LOCK go."""
        found = self._everybody.status_of(self._lock_path)
        if found != self._lock or self._held.status(self._tail.handle).links != 1:
            self.check(acknowledged)

    def check(self, acknowledged: int) -> None:
        """Raises `Displaced`, and OSError where nobody can tell. `acknowledged` is the last record
        that anybody was told of."""
        if not self._held.is_named:
            raise self._elsewhere(acknowledged)
        for name, wanted in self._names.items():
            found = self._held.status_of(self._held.directory / name)
            if not wanted.is_same(found):
                raise self._changed(name, found is None, acknowledged)

    def _elsewhere(self, acknowledged: int) -> Displaced:
        held = self._held
        taken = ", and its name means another directory now" if self._name_is_taken() else ""
        now = held.name_now
        if now is None:
            what = f"{held.directory} was removed, or hidden by a mount, while it was open{taken}"
            where = f"records up to {acknowledged} were acknowledged in the one that was there"
            return Displaced(f"{what}; {where}", "bring it back, from a backup if need be")
        what = f"{held.directory} was moved to {now} while it was open{taken}"
        where = f"every record that was acknowledged, up to {acknowledged}, is in {now}"
        return Displaced(f"{what}; {where}", verify_step(now, "go on there, or move it back; "))

    def _changed(self, name: str, gone: bool, acknowledged: int) -> Displaced:
        directory = self._held.directory
        happened = "was removed" if gone else "was replaced by another file"
        what = f"{directory / name} {happened} while it was open"
        if name != self._tail.path.name:
            where = f"every record that was acknowledged, up to {acknowledged}, is in {directory}"
            return Displaced(f"{what}; {where}", verify_step(directory, "start again, or "))
        where = f"records {self._tail.base} to {acknowledged} were acknowledged in it"
        return Displaced(f"{what}; {where}", verify_step(directory))

    def _name_is_taken(self) -> bool:
        # Not through the held one, for which the name has one meaning for ever.
        return self._everybody.status_of(self._held.directory) is not None
