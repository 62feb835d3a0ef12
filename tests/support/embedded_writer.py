"""A process that counts through the front door for ever and prints what was acknowledged.

Each record holds the next number after the last one in the journal. Every `TIDY` records it keeps a
snapshot of the count and compacts. It is killed, or ends when its standard input does.
"""

import sys
from pathlib import Path
from threading import Event, Thread

from ackbook.journal import Journal, Limits, open_journal

LIMITS = Limits(segment_bytes_max=20_000, room_bytes_min=8_000, room_bytes_max=16_000)
TIDY = 150


def count(journal: Journal, ended: Event) -> None:
    state = journal.state()
    number = state.load(int) or 0
    for record in journal.read(after=state.seq):
        assert record.value["n"] == number + 1, (record, number)
        number += 1
    print("counted", number, flush=True)
    while not ended.is_set():
        several = [("number.counted", {"n": number + each}) for each in (1, 2)]
        seqs = journal.append_all(several)
        number = number + len(seqs)
        print("acknowledged", seqs[-1], number, flush=True)
        if number % TIDY == 0:
            journal.snapshot(number, through=seqs[-1])
            journal.compact()


def main() -> None:
    ended = Event()
    Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    with open_journal(Path(sys.argv[1]), limits=LIMITS) as journal:
        count(journal, ended)


if __name__ == "__main__":
    main()
