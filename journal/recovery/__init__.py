"""From a directory that was found to a log that is open: look, decide by one table, carry it out.

It may import `storage`, `format`, `reading` and `writing`.
"""
