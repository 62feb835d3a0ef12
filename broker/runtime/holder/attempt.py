"""Attempt: one try at typing a message while it is under way, and the report that it adds up to.

It gathers what was ordered, what was typed, and what the witness saw. It performs nothing: the
typist does, step by step.
"""

from __future__ import annotations

import asyncio
import os

from ackbook.broker.core.attempt_report import Phase, Report, Written
from ackbook.broker.wire.attempts import AttemptKey
from ackbook.broker.wire.evidence import TerminalView, Witness
from ackbook.broker.wire.frames import TypeOrder
from ackbook.broker.wire.keystrokes import Keystrokes, Manner, salted
from ackbook.broker.wire.profiles import Profile
from ackbook.projections.facts import HeldReason


class RunningAttempt:
    """One attempt under way, and the report that it adds up to."""

    def __init__(
        self,
        order: TypeOrder,
        keys: Keystrokes,
        manner: Manner,
        before: TerminalView,
        profile: Profile,
    ) -> None:
        self.order = order
        self.key: AttemptKey = (order.delivery_id, order.attempt)
        self.keys = keys
        self.manner = manner
        self.witness = Witness(order.event_id, keys.shown, before, profile)
        self.stirred = asyncio.Event()
        self.settled = False
        self.in_time = False
        self.held: HeldReason | None = None
        self.taken_over = ""
        self.submitted_by_human = False
        self._phase: Phase = "typing"
        self._error = ""
        self._written: Written | None = None
        self._offset = before.offset

    @property
    def ended(self) -> bool:
        """Nothing more will be typed for it."""
        return self._phase != "typing"

    async def stir(self) -> None:
        """Wait until something has happened."""
        self.stirred.clear()
        await self.stirred.wait()

    def end(self, phase: Phase, error: str = "") -> None:
        self._phase, self._error = phase, error

    def written_in_full(self, bytes_written: int) -> None:
        """The terminal took everything."""
        salt = os.urandom(8).hex()
        self._written = Written(
            bytes_written=bytes_written,
            offset=self._offset,
            form=self.keys.form,
            enter="settled" if self.in_time else "deadline",
            salt=salt,
            salted_body=salted(salt, self.order.body.encode("utf-8", "replace")),
            salted_typed=salted(salt, self.keys.text),
        )

    def report(self) -> Report:
        return Report(
            delivery_id=self.order.delivery_id,
            attempt=self.order.attempt,
            generation=self.order.generation,
            phase=self._phase,
            held=self.held,
            written=self._written,
            seen=self.witness.seen,
            submitted=self.witness.submitted,
            input_empty=self.witness.input_empty,
            error=self._error,
        )
