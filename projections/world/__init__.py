"""The world: all entries folded, as state, with its deadlines and its form in a snapshot.

It imports no other wing.
"""
