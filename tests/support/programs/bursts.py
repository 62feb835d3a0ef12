"""A line editor that takes an Enter within 120 ms of other keys for a part of what is pasted.

Submitted texts go to the transcript given as argument, one a line.
"""

import json
import os
import sys
import time
import tty

BURST_S = 0.12

text, last = "", 0.0
tty.setraw(0)
os.write(1, b"> ")
with open(sys.argv[1], "a", buffering=1) as kept:
    while data := os.read(0, 1 << 16):
        now = time.monotonic()
        if data == b"\r" and now - last > BURST_S:
            kept.write(json.dumps({"text": text}) + "\n")
            text = ""
            os.write(1, b"\r\n> ")
        else:
            text += data.decode()
            os.write(1, data.replace(b"\r", b"\r\n"))
        last = now
