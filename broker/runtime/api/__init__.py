"""The HTTP side of a broker: guard, routes, handlers and streams. It decides nothing.

It may import `core`, `wire`, `history`, `runtime/engine`, `runtime/agents`, `runtime/maintenance`
and `runtime/system`.
"""
