"""The shapes that `--json` prints: keys that stay.

It imports no other wing.
"""
