"""Echoes keys in raw mode; at the first `!` it opens a dialog, which only SIGUSR1 closes.

Every byte is kept in the file that it is given, so that a key pressed into the dialog is known.
"""

import os
import signal
import sys
import tty

opened = False


def close(*_: object) -> None:
    os.write(1, b"\r\x1b[Kready> ")


signal.signal(signal.SIGUSR1, close)
tty.setraw(0)
with open(sys.argv[1], "ab", buffering=0) as kept:
    os.write(1, b"ready> ")
    while data := os.read(0, 4096):
        kept.write(data)
        os.write(1, data.replace(b"\r", b"\r\nready> "))
        if b"!" in data and not opened:
            opened = True
            os.write(1, b"\r\nAllow this? [y/N] ")
