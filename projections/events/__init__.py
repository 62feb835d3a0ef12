"""Events: what outsiders may see of a fact, derived from the entry alone.

It imports no other wing.
"""
