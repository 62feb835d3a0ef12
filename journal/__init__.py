"""A journal of numbered, checksummed, durable lines; useful on its own, it knows nothing above it.

```python
log = open_log(Path("orders"))
draft = Draft("order.placed", b'{"item":"tea"}')
if log.secure(log.measure(draft)):
    log.stage([draft], log.now(), expect=log.next_seq)
log.commit()  # returns when it is on the disk
log.close()
for line in Reader(Path("orders")).lines():
    print(line.seq, line.kind, line.data)
```
Start with `record` (what a line is), `recovery` (what a crash can leave behind, and what follows),
`writer` (the order of every write).
"""

from journal.appender import Appender
from journal.archiving import ArchiveFile, archive_segment
from journal.backup import BackupReport, backup
from journal.checking import check_file, holes, older_files
from journal.clock import Clock, OsClock
from journal.compaction import (
    Compaction,
    CompactionPlan,
    CompactionReport,
    Pinned,
    Progress,
    compact,
    plan_compaction,
)
from journal.control import Opened, RecoveryReport, Repaired, Sealed, SegmentStarted, read_control
from journal.errors import (
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
    OutOfReach,
    Poisoned,
    ReadOnly,
    RecordRefused,
    SnapshotUnusable,
    TargetTaken,
    TornTail,
    ending_of,
)
from journal.files import Files, OsFiles
from journal.layout import Listing, list_directory
from journal.limits import Limits
from journal.log import Log, LogStatistics
from journal.opening import open_log
from journal.reader import Reader
from journal.record import Draft, Line, Position
from journal.repairing import Repair, repair
from journal.retention import FOREVER, Retention
from journal.salvaging import LostRecords, SalvageReport, salvage
from journal.snapshot import SnapshotFile, read_snapshot, write_snapshot
from journal.snapshots import SetAside, Snapshots, newest_snapshots
from journal.statistics import SegmentStatistics, statistics
from journal.token import HeadToken, check_token, head_token, parse_token
from journal.verify import VerifyReport, verify

__all__ = [
    "FOREVER",
    "Appender",
    "ArchiveFile",
    "AttemptFailed",
    "BackupReport",
    "Clock",
    "Compaction",
    "CompactionPlan",
    "CompactionReport",
    "Corrupt",
    "Damage",
    "DamageFound",
    "DiskFailed",
    "Draft",
    "Files",
    "HeadToken",
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
    "open_log",
    "parse_token",
    "plan_compaction",
    "read_control",
    "read_snapshot",
    "repair",
    "salvage",
    "statistics",
    "verify",
    "write_snapshot",
]
