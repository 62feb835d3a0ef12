"""The machine as the journal sees it: its files, its clocks, one thread for commits, a notifier.

It imports no other wing.
"""
