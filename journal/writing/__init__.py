"""The one writer: the order of every write, the room ahead of it, and commits that share a sync.

It may import `storage`, `format` and `reading`.
"""
