"""A full-screen program: a bordered, coloured input box, drawn whole after every key.

The cursor is hidden and parked in a corner. Pastes are bracketed. Submitted messages go to the
transcript given as argument and are shown above the box. With a second argument `placeholder`, a
paste of more than five lines is shown as a note of its size.
"""

import json
import os
import re
import shutil
import sys
import textwrap
import tty

text = ""
said: list[str] = []
in_paste = False


def draw() -> None:
    cols, rows = shutil.get_terminal_size()
    shown = text
    if len(sys.argv) > 2 and text.count("\n") > 5:
        shown = f"[Pasted text #1 +{text.count(chr(10))} lines]"
    inner = cols - 6
    lines = [row for line in shown.split("\n") for row in textwrap.wrap(line, inner) or [""]]
    above = [row for line in said for row in textwrap.wrap(line, cols) or [""]]
    frame = ["\u256d" + "\u2500" * (cols - 2) + "\u256e"]
    frame += [f"\u2502 \x1b[3{i % 8}m> {row:<{inner}}\x1b[0m \u2502" for i, row in enumerate(lines)]
    frame += ["\u2570" + "\u2500" * (cols - 2) + "\u256f"]
    page = (above + frame)[-rows:]
    os.write(1, ("\x1b[H\x1b[2J" + "\r\n".join(page) + "\x1b[H").encode())


tty.setraw(0)
os.write(1, b"\x1b[?1049h\x1b[?25l\x1b[?2004h")
draw()
kept = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
while data := os.read(0, 1 << 16):
    for key in re.split("(\x1b\\[200~|\x1b\\[201~|\r)", data.decode()):
        if key == "\x1b[200~":
            in_paste = True
        elif key == "\x1b[201~":
            in_paste = False
        elif key == "\r" and not in_paste:
            os.write(kept, json.dumps({"text": text}).encode() + b"\n")
            said.append(text)
            text = ""
        else:
            text += key.replace("\r", "\n")
    draw()
