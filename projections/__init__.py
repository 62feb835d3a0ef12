"""The facts, and every fold over them; pure: no clock, no chance, no file, no loop.

Start with `facts` (everything that can have happened), then `world.fold` (what each changes),
`events.derive` (what outsiders see of it), `why.builder` (how it is told).
"""
