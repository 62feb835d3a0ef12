"""`ackbook replay` and its ways through the past: step, diff, bisect, decide again, what if.

It may import `cli`, `history` and `shapes`.
"""
