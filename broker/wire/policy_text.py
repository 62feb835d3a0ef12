"""What people write of a policy: `KEY=VALUE`, or a file with one JSON object of keys and values.

Only what is named is set, so that both give the keys beside their values. Every word is checked
here: a policy that was recorded is for good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import msgspec

from ackbook.broker.wire.identity import DOORS
from ackbook.projections.facts import Policy

KEYS = Policy.__struct_fields__

MOST = {"body_bytes_max": Policy().body_bytes_max, "recipients_max": Policy().recipients_max}
"""A body that is escaped fits a line, and a record derives at most 1,024 events."""


class NoPolicy(ValueError):
    """What was written sets nothing that a policy has, or sets it to what it cannot be."""


def read_settings(settings: Sequence[str]) -> dict[str, object]:
    """The values of these `KEY=VALUE`. Raises `NoPolicy`."""
    changes: dict[str, object] = {}
    for setting in settings:
        key, found, text = setting.partition("=")
        if not found or key not in KEYS:
            raise NoPolicy(f"{setting} {_unknown(key)}; write KEY=VALUE with one of {_all()}")
        if key in changes:
            raise NoPolicy(f"{key} is there twice; a policy has it once")
        changes[key] = _value(setting, {key: text}, key)
    return changes


def read_file(content: bytes) -> dict[str, object]:
    """The values that a policy file names. Raises `NoPolicy`."""
    try:
        named = msgspec.json.decode(content, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise NoPolicy(f"a policy is one JSON object of keys and values ({problem})") from None
    for key in named:
        if key not in KEYS:
            raise NoPolicy(f"{key} {_unknown(key)}; it has {_all()}")
    return {key: _value(key, named, key) for key in named}


def policy_of(changes: Mapping[str, object]) -> Policy:
    """A policy with these values, which were read here, for a broker to begin with. Raises
    `NoPolicy` for more than a record can hold."""
    for key, most in MOST.items():
        value = changes.get(key, 0)
        if isinstance(value, int) and value > most:
            raise NoPolicy(f"{key}={value}: at most {most}, which is what one record holds")
    return msgspec.convert(dict(changes), Policy)


def written(key: str, value: object) -> str:
    """`KEY=VALUE` that is read as this value."""
    return f"{key}={','.join(value) if isinstance(value, tuple) else value}"


def _value(written: str, named: Mapping[str, object], key: str) -> object:
    given = named[key]
    if key == "agents_may":
        given = _doors(given)
    try:
        policy = msgspec.convert({key: given}, Policy, strict=not isinstance(given, str))
    except msgspec.ValidationError as problem:
        raise NoPolicy(f"{written}: {problem}") from None
    value: object = getattr(policy, key)
    if isinstance(value, int) and value < 0:
        raise NoPolicy(f"{written}: it must not be negative")
    return value


def _doors(given: object) -> object:
    """Words between commas, or a list of them."""
    words = [each for each in given.split(",") if each] if isinstance(given, str) else given
    if isinstance(words, list):
        for word in words:
            if word not in DOORS:
                raise NoPolicy(f"agents_may: {word!r} is none of {', '.join(DOORS)}")
    return words


def _unknown(key: str) -> str:
    close = get_close_matches(key, KEYS, 1)
    return "names nothing that a policy has" + (f"; did you mean {close[0]}?" if close else "")


def _all() -> str:
    return ", ".join(KEYS)
