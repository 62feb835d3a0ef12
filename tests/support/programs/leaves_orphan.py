"""Prints the pid of a child that keeps the terminal open and ignores its end, then exits with 7."""

import os
import signal
import time

ready, tell = os.pipe()
child = os.fork()
if child == 0:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.write(tell, b".")
    while True:
        time.sleep(60)
os.read(ready, 1)
print(f"orphan {child}.", flush=True)
input()
os._exit(7)
