"""What bytes mean: records, HEAD, snapshots, names of files, and what may become a record.

It may import `storage`.
"""
