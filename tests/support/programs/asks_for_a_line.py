"""Asks a question in line mode, keeps every line it gets, and goes on to a prompt."""

import sys

with open(sys.argv[1], "a", buffering=1) as kept:
    sys.stdout.write("Proceed? [y/N] ")
    while True:
        sys.stdout.flush()
        kept.write(sys.stdin.readline())
        sys.stdout.write("ready> ")
