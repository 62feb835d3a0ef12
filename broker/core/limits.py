"""Limits of the rules that are no policy: bounds on one decision, and on what a name may be."""

TICK_DEADLINES_MAX = 16
"""Deadlines met by one tick, so that its records fit the reserve; the next follows at once."""

STANDING_FACTS_MAX = 8
"""Facts that the standing rules of one agent say in one decision; a tick goes on with the rest."""

NAME_BYTES_MAX = 128
"""Of an agent's name or a channel's: it stands in every record about it."""

KEY_BYTES_MAX = 256
"""Of an idempotency key."""

FIELD_BYTES_MAX = 256
"""Of any other text of a message: sender, thread, target. They stand in every record about it."""

DATA_BYTES_MAX = 256 * 1024
"""Of the structured data beside a body: with the body it must still fit a line."""

KEYS_FORGOTTEN_BYTES = 1024
"""Of the keys that one record forgets, before escaping; at least one key is forgotten."""

REDELIVER_MAX = 256
"""Dead letters redelivered by one command; more are left for the next."""

HINT_AGAIN_MS = 300_000
HINT_AGAIN_BYTES = 64 * 1024
"""The reply hint comes again only after this long and this much output: it has scrolled away."""

ERROR_BYTES_MAX = 512
"""Of what a holder says went wrong."""

RECORD_BYTES_MAX = 4 * 1024
"""Upper bound of a record that quotes nothing of unbounded size: names, sender, target, error."""


def exceeds(text: str, bytes_max: int) -> bool:
    """Whether it has more bytes of UTF-8 than this. A character has at most four, so that most
    texts are never encoded for it."""
    return 4 * len(text) > bytes_max and len(text.encode()) > bytes_max
