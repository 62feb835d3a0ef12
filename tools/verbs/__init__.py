"""One module a verb, or a few verbs that belong together; each ends with an exit code.

It may import `cli`, `history` and `shapes`.
"""
