"""Asks a question in raw mode, keeps every byte it gets, and goes on to a prompt after a `y`."""

import os
import sys
import tty

tty.setraw(0)
with open(sys.argv[1], "ab", buffering=0) as kept:
    os.write(1, b"Trust the files in this directory?\r\nProceed? [y/N] ")
    while data := os.read(0, 4096):
        kept.write(data)
        if b"y" in data:
            os.write(1, b"\r\nready> ")
        else:
            os.write(1, data.replace(b"\r", b"\r\nready> "))
