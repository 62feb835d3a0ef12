"""The lines that are staged and not yet written: what one write and one sync make durable.

It encodes, sums and counts; whether there is room, and when it is written, is `writer`'s business.
"""

from collections.abc import Sequence

from ackbook.journal.format.record import Draft, encode_lines


class Batch:
    """Begins empty behind a line up to which the checksum of the file is `running`."""

    __slots__ = ("_pieces", "count", "kinds", "running", "size")

    def __init__(self, running: int) -> None:
        self._pieces: list[bytes] = []
        """Whole lines, as they were staged: one or more in each piece."""
        self.running = running
        """The checksum of the file up to and with its last line."""
        self.count = 0
        self.size = 0
        """In bytes."""
        self.kinds: set[str] = set()

    def add(self, drafts: Sequence[Draft], seq: int, times: bytes) -> None:
        """Put the lines of these drafts at its end, the first of them with this `seq`."""
        lines, self.running = encode_lines(drafts, seq, times, self.running)
        self._pieces.append(lines)
        self.count += len(drafts)
        self.size += len(lines)
        self.kinds.update({draft.kind for draft in drafts})

    def lines(self) -> bytes:
        """All of them."""
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]
