"""The only place with a loop, a clock, sockets, terminals and processes.

It may import `core`, `wire`, `history`, `runtime/engine`, `runtime/agents`, `runtime/maintenance`,
`runtime/api` and `runtime/system`.
"""
