"""A journal of numbered, checksummed, durable lines; useful on its own, it knows nothing above it.

```python
with open_journal("orders") as journal:
    seq = journal.append("order.placed", {"item": "tea"})  # returns when it is on the disk
    for record in journal.read(after=seq - 1):
        print(record.seq, record.kind, record.value)
```
`open_journal` is for programs that have something to keep: append, read, follow, snapshot, compact,
from threads or on a loop. `read_journal` looks at the same directory from any other process. Under
them, `open_log` is for a program that decides before it appends, and sees each batch.

Start with `embedded` (what a program is promised), then `record` (what a line is), `recovery` (what
a crash can leave behind, and what follows), `writer` (the order of every write).
"""

from ackbook.journal.appender import Appender
from ackbook.journal.archiving import ArchiveFile, archive_segment
from ackbook.journal.backup import BackupReport, backup
from ackbook.journal.checking import check_file, holes, older_files
from ackbook.journal.clock import Clock, OsClock
from ackbook.journal.compaction import (
    Compaction,
    CompactionPlan,
    CompactionReport,
    Pinned,
    Progress,
    compact,
    plan_compaction,
)
from ackbook.journal.control import (
    Opened,
    RecoveryReport,
    Repaired,
    Sealed,
    SegmentStarted,
    read_control,
)
from ackbook.journal.embedded import Journal, open_journal
from ackbook.journal.errors import (
    AttemptFailed,
    Corrupt,
    Damage,
    DamageFound,
    DiskFailed,
    JournalError,
    JournalFull,
    Locked,
    Lost,
    NetworkFileSystem,
    NewerFormat,
    NotOpen,
    OutOfReach,
    Poisoned,
    ReadOnly,
    RecordRefused,
    SnapshotUnusable,
    TargetTaken,
    TornTail,
    ending_of,
)
from ackbook.journal.files import Files, OsFiles
from ackbook.journal.following import Follow
from ackbook.journal.history import History, read_journal
from ackbook.journal.layout import Listing, list_directory
from ackbook.journal.limits import Limits
from ackbook.journal.log import Log, LogStatistics
from ackbook.journal.moments import position_at
from ackbook.journal.on_loop import AsyncJournal
from ackbook.journal.opening import open_log
from ackbook.journal.reader import Reader
from ackbook.journal.record import Draft, Line, Position
from ackbook.journal.repairing import Repair, repair
from ackbook.journal.retention import FOREVER, Retention
from ackbook.journal.salvaging import LostRecords, SalvageReport, salvage
from ackbook.journal.snapshot import SnapshotFile, read_snapshot, write_snapshot
from ackbook.journal.snapshots import SetAside, Snapshots, newest_snapshots
from ackbook.journal.statistics import SegmentStatistics, statistics
from ackbook.journal.token import HeadToken, check_token, head_token, parse_token
from ackbook.journal.values import Data, Record, State
from ackbook.journal.verify import VerifyReport, verify

__all__ = [
    "FOREVER",
    "Appender",
    "ArchiveFile",
    "AsyncJournal",
    "AttemptFailed",
    "BackupReport",
    "Clock",
    "Compaction",
    "CompactionPlan",
    "CompactionReport",
    "Corrupt",
    "Damage",
    "DamageFound",
    "Data",
    "DiskFailed",
    "Draft",
    "Files",
    "Follow",
    "HeadToken",
    "History",
    "Journal",
    "JournalError",
    "JournalFull",
    "Limits",
    "Line",
    "Listing",
    "Locked",
    "Log",
    "LogStatistics",
    "Lost",
    "LostRecords",
    "NetworkFileSystem",
    "NewerFormat",
    "NotOpen",
    "Opened",
    "OsClock",
    "OsFiles",
    "OutOfReach",
    "Pinned",
    "Poisoned",
    "Position",
    "Progress",
    "ReadOnly",
    "Reader",
    "Record",
    "RecordRefused",
    "RecoveryReport",
    "Repair",
    "Repaired",
    "Retention",
    "SalvageReport",
    "Sealed",
    "SegmentStarted",
    "SegmentStatistics",
    "SetAside",
    "SnapshotFile",
    "SnapshotUnusable",
    "Snapshots",
    "State",
    "TargetTaken",
    "TornTail",
    "VerifyReport",
    "archive_segment",
    "backup",
    "check_file",
    "check_token",
    "compact",
    "ending_of",
    "head_token",
    "holes",
    "list_directory",
    "newest_snapshots",
    "older_files",
    "open_journal",
    "open_log",
    "parse_token",
    "plan_compaction",
    "position_at",
    "read_control",
    "read_journal",
    "read_snapshot",
    "repair",
    "salvage",
    "statistics",
    "verify",
    "write_snapshot",
]
