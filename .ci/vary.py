"""Runs a command in surroundings that must not matter to it, other ones each time.

`python .ci/vary.py COMMAND...` says the seed that decides all of them; `ACKBOOK_CI_SEED=N` repeats
a run. A home that is fresh, a TMPDIR of some length, perhaps with blanks or more than ASCII in it,
a umask, the size of a terminal that is not there, and every other time SIGINT and SIGHUP ignored,
as `nohup` and the `&` of a shell script do. Home and TMPDIR are removed at the end. The exit code
is the command's.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

SEED = "ACKBOOK_CI_SEED"
NAME_CHARS_MAX = 60
LENGTH_MAX = 200
"""What TMPDIR is longer by, far beyond what an address of a socket holds."""


def longer(root: Path, chance: random.Random) -> Path:
    """A directory below this one whose path is of a length that chance says."""
    wanted = len(str(root)) + chance.randrange(LENGTH_MAX)
    middle = chance.choice((" ", "é", "x"))
    place = root / "t"
    while (missing := wanted - len(str(place)) - 1) > 0:
        length = min(missing, chance.randint(1, NAME_CHARS_MAX))
        place /= f"{'d' * length}{middle}r"
    place.mkdir(parents=True)
    return place


def main(command: list[str]) -> int:
    seed = os.environ.get(SEED) or str(secrets.randbelow(1 << 32))
    chance = random.Random(seed)
    root = Path(tempfile.mkdtemp(prefix="ci-"))
    try:
        home = root / "home"
        home.mkdir()
        place = longer(root, chance)
        umask = chance.choice([0o002, 0o022, 0o027, 0o077])
        size = {"LINES": str(chance.randint(2, 100)), "COLUMNS": str(chance.randint(20, 300))}
        ignored = [signal.SIGINT, signal.SIGHUP] if chance.random() < 0.5 else []
        print(f"seed: {seed} (again: {SEED}={seed} .ci/run)")
        print(f"TMPDIR={place} ({len(str(place))}) umask={umask:03o} {size} ignored={ignored}")
        sys.stdout.flush()

        def surround() -> None:
            os.umask(umask)
            for number in ignored:
                signal.signal(number, signal.SIG_IGN)

        env = os.environ | size | {"HOME": str(home), "TMPDIR": str(place)}
        return subprocess.run(command, env=env, preexec_fn=surround, check=False).returncode
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1:]))
