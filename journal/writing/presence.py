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

A backup that is copied over the files leaves the names as they are; then what stands in HEAD, and
at the end of the tail, is not what was written there last.

The look that each batch waits for is one `stat` of LOCK by its full name, and one of the tail's
descriptor: when LOCK is the one that is held, so is the directory around it, unless somebody made
links; then, and once a second, every name is looked at. Nothing is changed, but that a tail without
its name is copied to `quarantine/`: nothing else knows any more what was acknowledged in it.
"""

from ackbook.journal.errors import Displaced
from ackbook.journal.format.head import Head
from ackbook.journal.format.layout import HEAD, LOCK, QUARANTINE
from ackbook.journal.next_step import verify_step
from ackbook.journal.storage.file_status import FileStatus
from ackbook.journal.storage.files import install
from ackbook.journal.writing.tail import Tail
from ackbook.journal.writing.writer_lock import WriterLock

OVERWRITTEN = "was overwritten"


class Presence:
    """Of one writer: its directory, its LOCK, its HEAD, its tail."""

    __slots__ = ("_everybody", "_head", "_held", "_lock", "_lock_path", "_names", "_owner", "_tail")

    def __init__(self, lock: WriterLock, head: Head, tail: Tail) -> None:
        self._owner = lock
        self._held = lock.files
        self._everybody = lock.files.others
        self._lock = self._held.status(lock.handle)
        self._lock_path = self._held.directory / LOCK
        self._names: dict[str, FileStatus] = {}
        self.follow(head, tail)

    def follow(self, head: Head, tail: Tail) -> None:
        """From now on these are written, and LOCK says so."""
        self._tail = tail
        self._owner.follow(tail.base, self._held.status(tail.handle))
        self._head = head
        self._names = {
            LOCK: self._lock,
            HEAD: self._held.status(head.handle),
            tail.path.name: self._held.status(tail.handle),
        }

    def leave(self) -> None:
        """A copy is about to take the name of the tail; `follow` comes next."""
        self._owner.waive_tail()

    def glance(self, acknowledged: int, last: str) -> None:
        """What `check` promises, at the price of a glance, as far as the directory and LOCK go."""
        found = self._everybody.status_of(self._lock_path)
        if found != self._lock or self._held.status(self._tail.handle).links != 1:
            self.check(acknowledged, last)

    def check(self, acknowledged: int, last: str) -> None:
        """Raises `Displaced`, and OSError where nobody can tell. `acknowledged` is the last record
        that anybody was told of, `last` the checksum of the last one that was written."""
        if not self._held.is_named:
            raise self._elsewhere(acknowledged)
        for name, wanted in self._names.items():
            found = self._held.status_of(self._held.directory / name)
            if not wanted.is_same(found):
                happened = "was replaced by another file" if found else "was removed"
                raise self._changed(name, happened, acknowledged)
        if not self._tail.ends_with(last):
            raise self._changed(self._tail.path.name, OVERWRITTEN, acknowledged)
        if not self._head.is_as_written:
            raise self._changed(HEAD, OVERWRITTEN, acknowledged)

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

    def _changed(self, name: str, happened: str, acknowledged: int) -> Displaced:
        directory = self._held.directory
        what = f"{directory / name} {happened} while it was open"
        if name != self._tail.path.name:
            where = f"every record that was acknowledged, up to {acknowledged}, is in {directory}"
            return Displaced(f"{what}; {where}", verify_step(directory, "start again, or "))
        where = f"records {self._tail.base} to {acknowledged} were acknowledged in it"
        if happened != OVERWRITTEN and (kept := self._keep_tail()):
            where = f"{where}, and are in {directory / kept}"
        return Displaced(f"{what}; {where}", verify_step(directory))

    def _keep_tail(self) -> str:
        """Where the lines of the tail are kept from now on; nothing when there is no room."""
        tail, held = self._tail, self._held
        name = f"{QUARANTINE}/kept-{tail.path.name}"
        try:
            held.make_dir(held.directory / QUARANTINE)
            install(held, held.directory / name, held.read(tail.handle, 0, tail.end))
        except OSError:
            return ""
        return name

    def _name_is_taken(self) -> bool:
        # Not through the held one, for which the name has one meaning for ever.
        return self._everybody.status_of(self._held.directory) is not None
