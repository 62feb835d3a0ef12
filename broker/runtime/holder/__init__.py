"""The holder: one process an agent that owns its terminal and outlives the broker.

It may import `wire` and `runtime/agents`.
"""
