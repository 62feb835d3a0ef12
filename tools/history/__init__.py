"""The past as verbs read it: a journal or a bundle on disk, moments, records, cached worlds.

It may import `cli` and `shapes`.
"""
