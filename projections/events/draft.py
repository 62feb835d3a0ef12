"""An event before it has its place in the feed."""

from __future__ import annotations

from typing import TypeAlias

EventDraft: TypeAlias = tuple[str, dict[str, object]]
"""Its kind and its fields, which are flat JSON."""
