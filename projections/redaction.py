"""Redaction: what is taken out of records before they are passed on, and what is said instead.

| what | becomes |
|---|---|
| `body`, `data`, `metadata` | a salted hash of the same length |
| an idempotency key, also where a refusal quotes it | another key of its length, one for each |
| hashes over such texts (`content`, `salt`, `salted_*`, `sha256`, sums) | a salted hash of them |
| in every other text: tokens, passwords, e-mail, home directories, values of variables | its kind |
| a row of a screen | its shape |

Names of agents, ids, kinds, times, numbers and reasons stay, lengths included, so that rules decide
the same. The salt is chosen for one bundle and kept by nobody: a hash says only that two texts are
the same. Hashes that a record had are replaced, too, since anybody can compute those of texts that
can be guessed. Redacted without a salt, a record and its redaction become the same bytes.

Patterns find secrets that look like secrets. A password in a command line that looks like a word is
not found, and `PROMISE` says so. This module is given the salt; it draws no chance.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import blake2b

import msgspec

from ackbook.projections.ids import EVENT_ID

PROMISE = (
    "Bodies of messages, attached data, results, idempotency keys and hashes of them are replaced."
    " In all other texts (command lines, directories, errors, reasons) only what looks like a"
    " secret, an e-mail address, a home directory or the value of a variable is replaced: look"
    " through slice.jsonl before you pass this on. Names of agents, ids, times and reasons are"
    " kept. Rows of screens show where text stood, not which."
)

TEXTS = frozenset({"body", "data", "metadata"})
HASHES = frozenset(
    {"content", "salt", "salted_body", "salted_typed", "sha256", "crc", "token_sha256"}
    | {"previous_sha256", "previous_crc"}
)
KEPT = frozenset(
    {"commander", "agent", "name", "target", "delivery_id", "event_id", "kind", "entity"}
)
"""Texts under these keys name something that other records name as well."""

_DIGEST_BYTES = 8
_SHORT_KEYS_TRIED = 64
"""Short keys that may be taken already, before one gets a longer one."""

_SECRET_NAME = r"[\w-]*(?:api[_-]?key|token|secret|passw(?:or)?d|passphrase|pwd|credential)s?"
_PREFIXES = "sk|pk|rk|ghp|gho|ghu|ghs|glpat|github_pat|xox[a-z]|npm|pypi|hf"
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.VERBOSE | re.DOTALL))
    for kind, pattern in (
        ("private key", r"-----BEGIN\ [A-Z\ ]*PRIVATE\ KEY-----.*?(?:-----END[^-]*-----|\Z)"),
        ("token", r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"),
        ("token", rf"\b(?:{_PREFIXES})[-_][\w-]{{8,}}"),
        ("token", r"\bA(?:KIA|SIA)[0-9A-Z]{12,}\b"),
        ("token", r"\bAIza[\w-]{20,}"),
        ("token", r"(?i:(?<=bearer\ ))[\w.~+/-]{8,}=*"),
        ("password", r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"),
        (
            "secret",
            rf"""(?<![\w-])(?i:{_SECRET_NAME})["']?\s*[=:]\s*["']?
            ((?!\[redacted)[^\s"',;]+)""",
        ),
        (
            "value",
            r"""\b[A-Z][A-Z0-9_]{2,}=
            ((?!\[redacted)(?:"[^"]*"|'[^']*'|[^\s"';]+))""",
        ),
        ("e-mail", r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
        ("home", r"(?<![\w/])/(?:home|Users)/[^/\s:\"']+|(?<![\w/.])/root\b|~[a-z][\w-]*(?=/)"),
        ("token", r"(?<![\w-])(?=[A-Za-z_+-]*\d)(?=[\d_+-]*[A-Za-z])[\w+-]{32,}={0,2}"),
    )
)
"""Tried in this order on each text; of a pattern with a group only that is replaced."""

_SECRET_FLAG = re.compile(rf"(?i)--?{_SECRET_NAME}\Z")
_HASH = re.compile(rf"(\[redacted [a-z -]+) [0-9a-f]{{{2 * _DIGEST_BYTES}}}\]")
_SHOWN = re.compile(EVENT_ID + r"|[\u2500-\u259f]|  +")


class Redactor:
    """Takes things out of JSON values. `counts` says how many of each kind.

    Without a salt it leaves no hashes, of its own or of another's.
    """

    def __init__(self, salt: bytes | None) -> None:
        self._salt = salt
        self._keys: dict[str, str] = {}
        self._keys_taken: set[str] = set()
        self.counts: Counter[str] = Counter()

    def json(self, encoded: bytes) -> bytes:
        """A JSON value without what is redacted, encoded."""
        return msgspec.json.encode(self.value(msgspec.json.decode(encoded)))

    def value(self, value: object, key: str = "") -> object:
        """The same of a decoded value that stands under this key."""
        if key in TEXTS and value is not None:
            return self._text_or_data("body" if key == "body" else "data", value)
        if key == "key" and isinstance(value, str):
            return self._key(value)
        if key in HASHES and isinstance(value, str) and value:
            return self._replaced("hash", value)
        match value:
            case str():
                return value if key in KEPT else self.text(value)
            case dict():
                fields = self._without_quoted_key(value)
                return {name: self.value(each, name) for name, each in fields.items()}
            case list() if key == "keys":
                return [self._pair(each) for each in value]
            case list() if key in ("args", "command"):
                return self._arguments(value)
            case list():
                return [self.value(each, key) for each in value]
            case _:
                return value

    def text(self, text: str) -> str:
        """A text without what looks like a secret."""
        for kind, pattern in _PATTERNS:
            text = pattern.sub(self._replacer(kind), text)
        return text if self._salt is not None else _HASH.sub(r"\1]", text)

    def row(self, row: str) -> str:
        """The shape of a row of a screen: frames, gaps and ids of messages; `x` for the rest."""
        shape, end = [], 0
        for shown in _SHOWN.finditer(row):
            shape += ["x" * (shown.start() - end), shown[0]]
            end = shown.end()
        return "".join([*shape, "x" * (len(row) - end)])

    def _replacer(self, kind: str) -> Callable[[re.Match[str]], str]:
        def replace(found: re.Match[str]) -> str:
            if not found.re.groups:
                return self._replaced(kind, found[0])
            begins, ends = (part - found.start() for part in found.span(1))
            return found[0][:begins] + self._replaced(kind, found[1]) + found[0][ends:]

        return replace

    def _arguments(self, values: list[object]) -> list[object]:
        """A command line: what follows a flag for a secret is one."""
        told: list[object] = []
        secret = False
        for value in values:
            redacted = self._replaced("secret", str(value)) if secret else self.value(value)
            secret = isinstance(value, str) and _SECRET_FLAG.fullmatch(value) is not None
            told.append(redacted)
        return told

    def _pair(self, value: object) -> object:
        """A sender and a key."""
        if isinstance(value, list) and len(value) == 2:
            return [self.value(value[0]), self.value(value[1], "key")]
        return self.value(value)

    def _without_quoted_key(self, fields: dict[str, object]) -> dict[str, object]:
        """A refusal quotes the key that it refuses: it goes there, too."""
        key, detail = fields.get("key"), fields.get("detail")
        if not isinstance(key, str) or not isinstance(detail, str):
            return fields
        return fields | {"detail": detail.replace(repr(key), repr(self._key(key)))}

    def _key(self, key: str) -> str:
        """Rules tell keys apart and count their bytes: as many bytes, and another for each."""
        self.counts["key"] += 1
        if self._salt is None:
            return "[redacted key]"
        if key not in self._keys:
            free = (each for each in self._keys_for(key) if each not in self._keys_taken)
            self._keys[key] = next(free)
            self._keys_taken.add(self._keys[key])
        return self._keys[key]

    def _keys_for(self, key: str) -> Iterator[str]:
        size = len(key.encode())
        long = f"[redacted key {self._digest(key).hex()}]"
        if len(long) > size:
            for number in range(_SHORT_KEYS_TRIED):
                short = urlsafe_b64encode(self._digest(f"{number} {key}")).decode().rstrip("=")
                yield short.ljust(size, ".")[:size]
        yield long.ljust(size, ".")

    def _text_or_data(self, kind: str, value: object) -> str:
        """The same size, encoded: a text stands in quotes, which other data has no use for."""
        if isinstance(value, str):
            return self._sized(kind, value)
        encoded = msgspec.json.encode(value).decode()
        return self._sized(kind, encoded, len(encoded.encode()) - len('""'))

    def _sized(self, kind: str, text: str, size: int | None = None) -> str:
        """As many bytes as the text has, or so many."""
        size = len(text.encode()) if size is None else max(0, size)
        said = self._replaced(kind, text) if text else ""
        if self._salt is None:
            return "." * size
        if len(said) > size:
            return said[-2 * _DIGEST_BYTES - 1 : -1].ljust(size, ".")[:size]
        return said.ljust(size, ".")

    def _replaced(self, kind: str, text: str) -> str:
        self.counts[kind] += 1
        if self._salt is None:
            return f"[redacted {kind}]"
        return f"[redacted {kind} {self._digest(text).hex()}]"

    def _digest(self, text: str) -> bytes:
        assert self._salt is not None
        return blake2b(text.encode(), digest_size=_DIGEST_BYTES, key=self._salt).digest()
