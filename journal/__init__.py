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

Start with `embedded.journal` (what a program is promised), then `format.record` (what a line is),
`recovery.decision_table` (what a crash can leave behind, and what follows), `writing.writer` (the
order of every write).
"""

from ackbook.journal.embedded.async_journal import AsyncJournal
from ackbook.journal.embedded.history import History, read_journal
from ackbook.journal.embedded.journal import Journal, open_journal
from ackbook.journal.errors import (
    AttemptFailed,
    Corrupt,
    Damage,
    DamageFound,
    DiskFailed,
    Displaced,
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
)
from ackbook.journal.format.control import (
    Opened,
    RecoveryReport,
    Repaired,
    Sealed,
    SegmentStarted,
    read_control,
)
from ackbook.journal.format.layout import Listing, list_directory
from ackbook.journal.format.record import Draft, Line, Position
from ackbook.journal.format.snapshot import SnapshotFile, read_snapshot, write_snapshot
from ackbook.journal.format.values import Data, Record, State
from ackbook.journal.limits import Limits
from ackbook.journal.maintenance.archive import ArchiveFile, archive_segment
from ackbook.journal.maintenance.compaction import (
    Compaction,
    CompactionPlan,
    CompactionProgress,
    CompactionReport,
    Pinned,
    compact,
    plan_compaction,
)
from ackbook.journal.maintenance.head_token import HeadToken, check_token, head_token, parse_token
from ackbook.journal.maintenance.retention import FOREVER, Retention
from ackbook.journal.maintenance.scrub import check_file, holes, older_files
from ackbook.journal.maintenance.statistics import SegmentStatistics, statistics
from ackbook.journal.maintenance.verify import VerifyReport, verify
from ackbook.journal.next_step import NextStep, Remedy
from ackbook.journal.reading.follow import Follow
from ackbook.journal.reading.reader import Reader
from ackbook.journal.reading.snapshot_choice import SetAside, SnapshotChoice, newest_snapshots
from ackbook.journal.reading.time_lookup import position_at
from ackbook.journal.recovery.open_log import open_log
from ackbook.journal.repair.backup import BackupReport, backup
from ackbook.journal.repair.cut_tail import Repair, repair
from ackbook.journal.repair.salvage import LostRecords, SalvageReport, salvage
from ackbook.journal.storage.clock import Clock, OsClock
from ackbook.journal.storage.files import Files, OsFiles
from ackbook.journal.writing.group_commit import Appender
from ackbook.journal.writing.log import Log, LogStatistics

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
    "CompactionProgress",
    "CompactionReport",
    "Corrupt",
    "Damage",
    "DamageFound",
    "Data",
    "DiskFailed",
    "Displaced",
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
    "NextStep",
    "NotOpen",
    "Opened",
    "OsClock",
    "OsFiles",
    "OutOfReach",
    "Pinned",
    "Poisoned",
    "Position",
    "ReadOnly",
    "Reader",
    "Record",
    "RecordRefused",
    "RecoveryReport",
    "Remedy",
    "Repair",
    "Repaired",
    "Retention",
    "SalvageReport",
    "Sealed",
    "SegmentStarted",
    "SegmentStatistics",
    "SetAside",
    "SnapshotChoice",
    "SnapshotFile",
    "SnapshotUnusable",
    "State",
    "TargetTaken",
    "TornTail",
    "VerifyReport",
    "archive_segment",
    "backup",
    "check_file",
    "check_token",
    "compact",
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
