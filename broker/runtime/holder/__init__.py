"""The holder: one process an agent that owns its terminal and outlives the broker.

It may import `core`, `wire` and `runtime/system`.
"""
