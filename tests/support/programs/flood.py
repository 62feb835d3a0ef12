"""Writes as fast as the terminal takes it, for ever; with broken characters and sequences in it."""

import os

PIECE = (
    b"\x1b[38;5;12mflood \xff\xfe \xe4\xbd\x1b[0m \x1b]0;title \x1b[1;1" + b"x" * 70 + b"\r\n"
) * 600

os.write(1, b"ready> ")
os.read(0, 1)
while True:
    os.write(1, PIECE)
