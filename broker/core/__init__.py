"""The rules: commands become facts or are refused, and the world says what it owes; pure.

It may import `wire`.
"""
