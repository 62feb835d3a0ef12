"""The journal for a program that has something to keep and no wish to know how.

It may import `storage`, `format`, `reading`, `writing`, `recovery` and `maintenance`.
"""
