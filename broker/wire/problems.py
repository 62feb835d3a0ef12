"""Problems: every answer that is not a success, from one table.

A rule refuses with a reason; this table alone knows the status and the code that outsiders see.
"""

from __future__ import annotations

from ackbook.broker.core.commands import RefusalReason, Refused
from ackbook.projections.facts import RefusedReason

STATUS: dict[str, int] = {
    "invalid_request": 400,
    "invalid_mode": 400,
    "invalid_revision": 400,
    "invalid_format": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_allowed": 403,
    "unknown_token": 403,
    "agent_not_found": 404,
    "delivery_not_found": 404,
    "dead_letter_not_found": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "agent_exists": 409,
    "not_cancellable": 409,
    "stale": 409,
    "elsewhere": 409,
    "idempotency_conflict": 409,
    "cursor_ahead": 409,
    "other_history": 409,
    "too_large": 413,
    "queue_full": 429,
    "internal_error": 500,
    "outcome_unknown": 500,
    "no_resources": 503,
    "pty_write_queue_full": 503,
    "shutting_down": 503,
    "version_changed": 503,
    "worker_disappeared": 503,
    "worker_timeout": 504,
    "journal_full": 507,
}
"""HTTP status by code."""

RETRYABLE = frozenset(
    {"queue_full", "journal_full", "no_resources", "pty_write_queue_full", "shutting_down"}
)

_CODES: dict[RefusedReason | RefusalReason, str] = {
    "queue_full": "queue_full",
    "unknown_agent": "agent_not_found",
    "too_large": "too_large",
    "empty": "invalid_request",
    "idempotency_conflict": "idempotency_conflict",
    "journal_full": "journal_full",
    "invalid": "invalid_request",
    "agent_exists": "agent_exists",
    "agent_not_found": "agent_not_found",
    "delivery_not_found": "delivery_not_found",
    "not_cancellable": "not_cancellable",
    "stale": "stale",
    "version_changed": "version_changed",
    "elsewhere": "elsewhere",
    "no_resources": "no_resources",
}


class Problem(Exception):
    """An answer that is not a success. `code` is one of `STATUS`, `message` is for people, and
    `status` the HTTP status that goes with the code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = STATUS[code]

    def body(self) -> dict[str, object]:
        """The JSON of the answer, in the shape that all clients read."""
        return {
            "success": False,
            "error": self.message,
            "code": self.code,
            "message": self.message,
            "retryable": self.code in RETRYABLE,
        }


def refusal(refused: Refused) -> Problem:
    """What a client is told when the rules refuse."""
    return Problem(_CODES[refused.reason], refused.message)


UNAUTHORIZED: dict[str, object] = {
    "error": {
        "code": "unauthorized",
        "message": "a valid key is needed: X-API-Key, or Authorization: Bearer",
        "retryable": False,
        "statusCode": 401,
    }
}
"""The one answer with another shape, which clients of this API expect."""
