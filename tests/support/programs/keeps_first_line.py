"""An editor that asks for bracketed pastes and keeps only the first line of each."""

import os
import re
import tty

tty.setraw(0)
os.write(1, b"\x1b[?2004hready> ")
while data := os.read(0, 1 << 16):
    data = re.sub(rb"\x1b\[200~([^\r\x1b]*)[^\x1b]*\x1b\[201~", rb"\1", data)
    os.write(1, data.replace(b"\r", b"\r\nready> "))
