"""What a person asks for when something is wrong, or before: backup, cut, salvage, slices.

It may import `storage`, `format`, `reading`, `writing`, `recovery` and `maintenance`.
"""
