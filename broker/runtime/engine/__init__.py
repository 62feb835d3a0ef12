"""The engine: commands in, one batch, one sync, and only then replies, events and effects.

It may import `core`, `wire` and `history`.
"""
