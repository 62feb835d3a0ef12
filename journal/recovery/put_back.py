"""Put back: what in a journal's own directory shows that it was put back from a copy.

| what | shows it when |
|---|---|
| `COPY` | it is there: `backup` and `salvage` leave it in what they make |
| LOCK | it is missing, or says nothing; a writer signs it before there is a record |
| the signature in LOCK | the directory, LOCK or the tail is another file than the one that signed |

Where one of them does, another history may go on from the same record, in another directory, from
another copy, or after a restore that is to come; so this one gets a lineage. A needless one costs
nothing, and three things make some: a mount that gives the file system another device number (after
a reboot, say), a LOCK or a tail that somebody replaced by itself, and a crash between the record of
it and the end of what showed it. A directory that was moved within its file system keeps its
numbers, and a LOCK that an older version signed says nothing.

What nothing here shows is an older state of these very files: their bytes written back in place,
or a disk that was set back as a whole. That is for whoever saw the journal go on.
"""

from ackbook.journal.format.copy_mark import read_mark
from ackbook.journal.format.layout import COPY, LOCK, segment_name
from ackbook.journal.format.lock_signature import LockSignature, numbers_of
from ackbook.journal.recovery.survey import Survey
from ackbook.journal.writing.writer_lock import WriterLock


def put_back_because(lock: WriterLock, found: Survey) -> str:
    """What shows that the journal in the locked directory is a copy; empty where nothing does. To
    be asked before anything in it is changed. Raises `OSError`."""
    if found.tail is None:
        return ""
    if found.listing.has_copy_mark:
        mark = read_mark(lock.files, found.directory)
        if mark is None:
            return f"{COPY} is in it"
        return f"it is what {mark.made_by} made of the journal up to record {mark.seq}"
    if lock.found.numbers is None:
        return f"its {LOCK} is missing"
    said = lock.found.said
    return f"its {LOCK} says nothing" if said is None else _other_files(lock, found, said)


def _other_files(lock: WriterLock, found: Survey, said: LockSignature) -> str:
    own = numbers_of(lock.files, lock.files.handle)
    if said.directory is not None and said.directory != own:
        return f"its {LOCK} was signed in another directory"
    if said.lock is not None and said.lock != lock.found.numbers:
        return f"its {LOCK} is a copy of the one that was signed"
    if said.tail is None:
        return ""
    base, device, inode = said.tail
    status = lock.files.status_of(found.directory / segment_name(base))
    if status is not None:
        same = (status.device, status.inode) == (device, inode)
        return "" if same else f"{segment_name(base)} is a copy of the one that was written"
    # One before the tail was compacted; one after it has not been brought back.
    newest = found.listing.segments[-1]
    return f"{segment_name(base)} was written, and it ends in {newest}" if base > newest else ""
