"""Goes into raw mode, shows a prompt, and reads nothing until it gets SIGUSR1; then everything."""

import os
import signal
import sys
import tty

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
tty.setraw(0)
os.write(1, b"ready> ")
signal.sigwait({signal.SIGUSR1})
with open(sys.argv[1], "ab", buffering=0) as kept:
    while data := os.read(0, 4096):
        kept.write(data)
