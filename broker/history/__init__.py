"""The read side: worlds, indexes and stories from a journal on disk. It has no loop.

It may import `core`, `wire` and `runtime`.
"""
