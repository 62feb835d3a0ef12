"""Requests: what a body says, as typed values, whatever spelling the client has.

Clients in use spell a field in camelCase or snake_case, and know several names for a few of them.
Unknown fields are ignored; a field of the wrong type is said by name. Knows JSON and commands,
neither sockets nor the world.
"""

from __future__ import annotations

from typing import get_args

import msgspec
import orjson

from ackbook.broker.core.commands import Send
from ackbook.broker.wire.problems import Problem
from ackbook.broker.wire.profiles import GENERIC, PROFILES
from ackbook.journal.limits import INTEGER_MAX
from ackbook.projections.facts import DeliveryMode, Level, Mode, RestartPolicy
from ackbook.projections.names import canonical, is_path_step

WAIT_MS_MAX = 24 * 3600 * 1_000
"""Of a request that waits for its deliveries; a connection hardly lives longer."""


class Fields:
    """A JSON object, asked for its fields by all their names; no body is an empty one.

    Raises `Problem` (`invalid_request`) for a body that is no such object. So do its methods for a
    field that is there and not what is asked for, which they name: correct it and ask again.
    """

    def __init__(self, body: bytes) -> None:
        try:
            value = orjson.loads(body) if body.strip() else {}
        except orjson.JSONDecodeError as error:
            raise Problem("invalid_request", f"the body is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise Problem("invalid_request", "the body must be a JSON object")
        self._value: dict[str, object] = value

    def get(self, *names: str) -> object | None:
        """The first of these fields that is there and not null."""
        return next((v for name in names if (v := self._value.get(name)) is not None), None)

    def text(self, *names: str) -> str | None:
        """A string; None when absent. Raises `Problem` where it is something else."""
        value = self.get(*names)
        if value is not None and not isinstance(value, str):
            raise Problem("invalid_request", f"{names[0]} must be a string")
        return value

    def need_text(self, *names: str) -> str:
        """A string that has to be there. Raises `Problem` where it is not, or something else."""
        value = self.text(*names)
        if value is None:
            raise Problem("invalid_request", f"{names[0]} is missing")
        return value

    def number(self, *names: str, least: int = 0, most: int = INTEGER_MAX) -> int | None:
        """An integer within bounds; a larger one than the default the journal would refuse. None
        when absent. Raises `Problem`, with the bounds, for anything else."""
        value = self.get(*names)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Problem(
                "invalid_request", f"{names[0]} must be an integer from {least} to {most}"
            )
        return value

    def flag(self, *names: str) -> bool:
        """A boolean, false when absent. Raises `Problem` where it is something else."""
        value = self.get(*names)
        if value is not None and not isinstance(value, bool):
            raise Problem("invalid_request", f"{names[0]} must be true or false")
        return bool(value)

    def texts(self, *names: str) -> tuple[str, ...] | None:
        """A list of strings; None when absent. Raises `Problem` where it is something else."""
        value = self.get(*names)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise Problem("invalid_request", f"{names[0]} must be a list of strings")
        return tuple(value)

    def inner(self, *names: str) -> Fields:
        """An object inside this one; an empty one when absent. Raises `Problem` for no object."""
        value = self.get(*names)
        if value is not None and not isinstance(value, dict):
            raise Problem("invalid_request", f"{names[0]} must be an object")
        return Fields(orjson.dumps(value or {}))

    def mapping(self, *names: str) -> dict[str, str]:
        """An object of strings. Raises `Problem` where it is none, or holds something else."""
        inner = self.inner(*names)
        return {name: inner.need_text(name) for name in inner._value}


class SendRequest(msgspec.Struct, frozen=True):
    """A message, and how long its sender waits for which level."""

    command: Send
    wait_ms: int


class SpawnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A program to run. `exact`: `cli` names one file and is no command line."""

    name: str
    cli: str
    exact: bool
    args: tuple[str, ...]
    cwd: str | None
    env: dict[str, str]
    channels: tuple[str, ...]
    model: str | None
    session_id: str | None
    team: str | None
    task: str | None
    profile: str
    parent: str | None
    source: str
    rows: int
    cols: int
    idle_threshold_s: int
    token: str | None
    restart: RestartPolicy
    wait_ms: int


class ModeRequest(msgspec.Struct, frozen=True):
    """A delivery mode, and what the caller believes it to be now."""

    mode: DeliveryMode
    expected_mode: DeliveryMode | None
    expected_revision: int | None


def send_request(body: bytes, key: str | None = None, sender: str = "human") -> SendRequest:
    """`POST /api/send`; `key` is the header's idempotency key, `sender` who it is from where it
    does not say. Raises `Problem` as `Fields` does, for a sender that is no name, and
    `invalid_mode` for a mode that is neither `wait` nor `steer`."""
    fields = Fields(body)
    data = fields.get("data")
    command = Send(
        sender=_name("from", fields.text("from", "sender") or sender),
        target=fields.need_text("to", "target"),
        body=fields.text("text", "message", "body", "content") or "",
        thread=fields.text("thread", "thread_id", "threadId"),
        priority=fields.number("priority", most=4),
        mode=_mode(fields.text("mode")),
        need=_level(fields.text("need")),
        ttl_ms=fields.number("ttl_ms", "ttlMs", least=1, most=WAIT_MS_MAX * 365),
        key=fields.text("idempotency_key", "idempotencyKey") or key,
        data=msgspec.Raw(b"null" if data is None else orjson.dumps(data)),
    )
    wait_ms = fields.number("wait_ms", "waitMs", most=WAIT_MS_MAX) or 0
    return SendRequest(command, wait_ms)


def spawn_request(body: bytes) -> SpawnRequest:
    """`POST /api/spawn`. Raises `Problem` (`invalid_request`) as `Fields` does, and for a runtime
    or a profile that is not offered."""
    fields = Fields(body)
    harness = fields.inner("harnessConfig", "harness_config")
    runtime = fields.text("runtime", "transport") or harness.text("runtime") or "pty"
    if runtime != "pty":
        raise Problem("invalid_request", f"runtime {runtime!r} is not offered; `pty` is")
    exact = harness.text("command")
    channels, parent = fields.texts("channels"), fields.text("parent", "spawner")
    idle = fields.number("idleThresholdSecs", "idle_threshold_secs", most=86_400)
    return SpawnRequest(
        name=_name("name", fields.need_text("name")),
        cli=exact or fields.need_text("cli", "command"),
        exact=exact is not None,
        args=harness.texts("args") or fields.texts("args") or (),
        cwd=harness.text("cwd") or fields.text("cwd"),
        env=fields.mapping("env") | harness.mapping("env"),
        channels=("general",) if channels is None else tuple(map(_channel, channels)),
        model=fields.text("model"),
        session_id=harness.text("sessionId", "session_id") or fields.text("sessionId"),
        team=fields.text("team"),
        task=fields.text("task"),
        profile=_profile(fields.text("profile")),
        parent=None if parent is None else _name("parent", parent),
        source=fields.text("source") or "human",
        rows=fields.number("rows", least=1, most=1_000) or 24,
        cols=fields.number("cols", least=1, most=1_000) or 80,
        idle_threshold_s=30 if idle is None else idle,
        token=_token(fields.text("agentToken", "agent_token")),
        restart=_restart(fields.inner("restartPolicy", "restart_policy")),
        wait_ms=fields.number("wait_ms", "waitMs", most=WAIT_MS_MAX) or 0,
    )


def channels_request(body: bytes) -> tuple[str, ...]:
    """`POST /api/spawned/{name}/subscribe`: the channels, without `#`."""
    return tuple(map(_channel, Fields(body).texts("channels") or ()))


def mode_request(body: bytes) -> ModeRequest:
    """`PUT /api/spawned/{name}/delivery-mode`. A revision is a decimal string on the wire.

    Raises `Problem` as `Fields` does, `invalid_mode` for a mode that no queue has, and
    `invalid_revision` where the revision is no decimal number.
    """
    fields = Fields(body)
    expected = fields.text("expected_mode", "expectedMode")
    revision = fields.get("expected_revision", "expectedRevision")
    if revision is not None and not str(revision).isdecimal():
        raise Problem("invalid_revision", "expected_revision must be a decimal number")
    return ModeRequest(
        mode=_delivery_mode(fields.need_text("mode")),
        expected_mode=None if expected is None else _delivery_mode(expected),
        expected_revision=None if revision is None else int(str(revision)),
    )


def _token(text: str | None) -> str | None:
    """A token that the caller chose; it has to fit a header and an environment."""
    if text is not None and not (
        text.isascii() and text.isprintable() and " " not in text and text
    ):
        raise Problem("invalid_request", "agentToken must be printable ASCII without blanks")
    return text


def _name(field: str, name: str) -> str:
    """A name in its one form. What a path takes for a step is none, nor is it a sender's."""
    if is_path_step(name):
        raise Problem("invalid_request", f"{field}: {name!r} is no name; take another one")
    return canonical(name)


def _channel(name: str) -> str:
    return _name("channels", name.removeprefix("#"))


def _profile(name: str | None) -> str:
    if name is not None and name not in PROFILES:
        known = ", ".join(PROFILES)
        raise Problem("invalid_request", f"profile {name!r} is not known; known are: {known}")
    return GENERIC.name if name is None else PROFILES[name].name


def _mode(value: str | None) -> Mode:
    for mode in get_args(Mode):
        if mode == (value or "wait"):
            return mode  # type: ignore[no-any-return]  # one of the literals
    raise Problem("invalid_mode", f"mode {value!r} is neither `wait` nor `steer`")


def _level(value: str | None) -> Level:
    for level in get_args(Level):
        if level == (value or "seen"):
            return level  # type: ignore[no-any-return]  # one of the literals
    raise Problem("invalid_request", f"need {value!r} is no level; one of {get_args(Level)}")


def _delivery_mode(value: str) -> DeliveryMode:
    for mode in get_args(DeliveryMode):
        if mode == value:
            return mode  # type: ignore[no-any-return]  # one of the literals
    raise Problem("invalid_mode", f"mode {value!r} is neither `auto_inject` nor `manual_flush`")


def _restart(fields: Fields) -> RestartPolicy:
    default = RestartPolicy()
    restarts = fields.number("max_restarts", "maxRestarts", most=1_000)
    cooldown = fields.number("cooldown_ms", "cooldownMs", most=86_400_000)
    failures = fields.number("max_consecutive_failures", "maxConsecutiveFailures", most=1_000)
    return RestartPolicy(
        enabled=fields.flag("enabled"),
        max_restarts=default.max_restarts if restarts is None else restarts,
        cooldown_ms=default.cooldown_ms if cooldown is None else cooldown,
        max_consecutive_failures=default.max_consecutive_failures if failures is None else failures,
    )
