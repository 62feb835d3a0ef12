"""Going through a journal without a lock: scanning, reading, following, finding a moment.

It may import `storage` and `format`.
"""
