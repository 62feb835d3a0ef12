"""Deciding again: recorded commands put to the rules once more, under any policy; pure.

It may import `core` and `wire`.
"""
