"""The broker: rules that decide, bytes that become values, and the loop that drives them.

`core` and `wire` are pure, `history` reads, `runtime` has the loop. Start with `core.decide`
(commands to facts) and `core.plan` (what the world owes), then `runtime.engine.engine` (the loop).
"""
