"""Holders as the broker sees them: starting, finding, speaking to and looking through them.

It may import `core`, `wire`, `history`, `runtime/engine` and `runtime/system`.
"""
