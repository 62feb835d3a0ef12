"""Reads keys in raw mode without showing anything, and keeps every byte in the file it is given."""

import os
import sys
import tty

tty.setraw(0)
with open(sys.argv[1], "ab", buffering=0) as kept:
    os.write(1, b"ready> ")
    while data := os.read(0, 4096):
        kept.write(data)
