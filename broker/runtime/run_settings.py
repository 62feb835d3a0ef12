"""Run settings: what a caller of `serve` decided for one run of a broker, and what it may not."""

from __future__ import annotations

import msgspec

from ackbook.broker.runtime.maintenance.snapshot_schedule import Upkeep
from ackbook.journal import Files
from ackbook.projections.facts import Policy


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller of `serve` decided. `token` and `session` tell which agent that is, if any."""

    host: str
    key: str
    version: str
    instance: str
    policy: Policy
    named: tuple[str, ...]
    respawn: bool
    upkeep: Upkeep
    files: Files | None
    umask: int
    token: str
    session: int


class NotForAgents(Exception):
    """An agent starts this broker, and would change what is not for agents to change."""
