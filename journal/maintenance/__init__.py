"""What is done to a journal while it lives: verify, archive, compact, scrub, count, fix by a token.

It may import `storage`, `format`, `reading`, `writing` and `recovery`.
"""
