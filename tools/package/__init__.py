"""ackbook: message your agents, and prove it arrived.

The package is its four layers, each with a door of its own: `ackbook.journal` (durable lines,
useful alone), `ackbook.projections`, `ackbook.broker`, `ackbook.tools`. This module imports none of
them, so whoever wants the journal pays for nothing else.
"""

from __future__ import annotations


def __getattr__(name: str) -> str:
    """`ackbook.__version__`, looked up when it is asked for: reading metadata takes 20 ms."""
    if name == "__version__":
        from importlib.metadata import version

        return version("ackbook")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
