"""A process that appends for ever and prints each seq once it is acknowledged; it is killed."""

import sys
from pathlib import Path

from ackbook.journal import Draft, Limits, open_log

LIMITS = Limits(segment_bytes_max=20_000, room_bytes_min=8_000, room_bytes_max=16_000)


def main() -> None:
    log = open_log(Path(sys.argv[1]), limits=LIMITS)
    print("open", log.next_seq, flush=True)
    number = 0
    while True:
        batch = [Draft("thing.happened", b'{"n":%d}' % (number + each)) for each in range(3)]
        if not log.secure(sum(map(log.measure, batch))):
            log.commit()
            continue
        log.stage(batch, log.now(), expect=log.next_seq)
        print("acknowledged", log.commit().seq, flush=True)
        number += 3


if __name__ == "__main__":
    main()
