"""Closes its terminal after a line and lives on."""

import os
import signal
import time

signal.signal(signal.SIGHUP, signal.SIG_IGN)
input("ready> ")
for descriptor in (0, 1, 2):
    os.close(descriptor)
while True:
    time.sleep(60)
