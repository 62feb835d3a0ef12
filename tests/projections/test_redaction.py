"""What is taken out is gone, what stays still fits together, and equal things stay equal."""

from __future__ import annotations

import msgspec
import pytest

from ackbook.projections.redaction import Redactor

SALT = b"salt" * 8
SECRETS = {
    "--api-key=Zq81kd-0s": "Zq81kd-0s",
    "PASSWORD: hunter2!": "hunter2!",
    "db_password=s3cr3t;": "s3cr3t",
    '{"auth_token":"tok-99-xx"}': "tok-99-xx",
    "sk-proj-abcdEFGH12345678": "abcdEFGH12345678",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a": "16C7e42F292c6912E7710c838347Ae178B4a",
    "key AKIAIOSFODNN7EXAMPLE in a text": "AKIAIOSFODNN7EXAMPLE",
    "Authorization: Bearer abc.def-ghi_jkl": "abc.def-ghi_jkl",
    "https://alice:open-sesame@example.org/x": "open-sesame",
    "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSM": "eyJzdWIiOiIxMjM0",
    "mail bob.builder+x@example.co.uk now": "bob.builder",
    "/home/carol/project: not found": "carol",
    "cd ~dave/src": "dave",
    "SOME_VALUE='two words' make": "two words",
    "hash d41d8cd98f00b204e9800998ecf8427e0": "d41d8cd98f00b204e9800998ecf8427e0",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nAAA=\n-----END RSA PRIVATE KEY-----": "MIIEow",
}
HARMLESS = (
    "echo not detected within 5s window",
    "the program ended (signalled) while the delivery was typing",
    "command not found: foo",
    "10 failed attempts in a row; the last: not written",
    "del_2a_1 evt_2a bob.1.3066d62c.sock",
    "/usr/bin/python3 -q --color=never",
)


@pytest.mark.parametrize("text", SECRETS)
def test_what_looks_like_a_secret_is_gone(text: str) -> None:
    redacted = Redactor(SALT).text(text)
    assert SECRETS[text] not in redacted
    assert "[redacted " in redacted


@pytest.mark.parametrize("text", HARMLESS)
def test_what_explains_a_delivery_stays(text: str) -> None:
    assert Redactor(SALT).text(text) == text


@pytest.mark.parametrize("body", ["x", "yes", "a word or two", "long " * 20, "grüße\nan alle"])
def test_a_body_becomes_a_hash_of_its_length(body: str) -> None:
    first, again = Redactor(SALT), Redactor(b"other" * 4)
    redacted = first.value({"body": body, "agent": "bob"})
    assert isinstance(redacted, dict)
    assert len(redacted["body"]) == len(body.encode())
    assert redacted["agent"] == "bob"
    assert redacted == first.value({"body": body, "agent": "bob"})
    assert redacted != again.value({"body": body, "agent": "bob"})


def test_hashes_of_texts_that_are_gone_go_with_them() -> None:
    fact = {
        "content": "ab" * 32,
        "salt": "0011",
        "salted_body": "cd" * 32,
        "sha256": "",
        "crc": "1",
    }
    redacted = Redactor(SALT).value(fact)
    assert isinstance(redacted, dict)
    assert redacted["sha256"] == ""
    for name in ("content", "salt", "salted_body", "crc"):
        assert redacted[name].startswith("[redacted hash ")


def test_what_follows_a_flag_for_a_secret_is_one() -> None:
    fact = {"args": ["--token", "plain-word", "--verbose", "plain-word"]}
    redacted = Redactor(SALT).value(fact)
    assert isinstance(redacted, dict)
    assert redacted["args"][1].startswith("[redacted secret ")
    assert redacted["args"][2:] == ["--verbose", "plain-word"]


def test_keys_stay_the_same_wherever_they_stand() -> None:
    redactor = Redactor(SALT)
    alone = redactor.value({"key": "order-1"})
    paired = redactor.value({"keys": [["amy", "order-1"]]})
    assert isinstance(alone, dict)
    assert paired == {"keys": [["amy", alone["key"]]]}
    assert "order-1" not in str(alone)
    assert len(alone["key"]) == len("order-1")


def test_each_key_becomes_another_one() -> None:
    redactor = Redactor(SALT)
    keys = [*map(chr, range(33, 127)), *(f"k{number}" for number in range(300))]
    told = [redactor.value({"key": key})["key"] for key in keys]  # type: ignore[index]
    assert len(set(told)) == len(keys)


def test_a_refusal_does_not_quote_the_key_that_is_gone() -> None:
    redactor = Redactor(SALT)
    for key in ("it's", "order-1", "k", "long " * 20):
        refusal = {"key": key, "detail": f"the idempotency key {key!r} was used by amy"}
        told = redactor.value(refusal)
        assert isinstance(told, dict)
        assert len(told["key"]) == len(key)
        assert told["detail"] == f"the idempotency key {told['key']!r} was used by amy"
        assert Redactor(None).value(told) == Redactor(None).value(refusal)


@pytest.mark.parametrize("data", ["text", {"a": "b" * 50}, [1, 2], 12])
def test_data_is_as_large_as_it_was(data: object) -> None:
    redacted = Redactor(SALT).value({"data": data})
    assert len(msgspec.json.encode(redacted)) == len(msgspec.json.encode({"data": data}))


@pytest.mark.parametrize(
    "record",
    [
        {"body": "short", "data": {"a": [1, 2]}, "content": "ab" * 32, "key": "k-1"},
        {"body": "x" * 300, "error": "token=abcdefgh at /home/carol", "keys": [["a", "b"]]},
        *({"error": text} for text in SECRETS),
    ],
)
def test_a_record_and_its_redaction_have_the_same_rest(record: dict[str, object]) -> None:
    encoded = msgspec.json.encode(record)
    redacted = Redactor(SALT).json(encoded)
    assert redacted != encoded
    assert Redactor(None).json(redacted) == Redactor(None).json(encoded)


def test_another_record_has_another_rest() -> None:
    blank = Redactor(None)
    assert blank.json(b'{"body":"four","n":1}') == blank.json(b'{"body":"five","n":1}')
    assert blank.json(b'{"body":"four","n":1}') != blank.json(b'{"body":"seven","n":1}')
    assert blank.json(b'{"body":"four","n":1}') != blank.json(b'{"body":"four","n":2}')


def test_a_row_of_a_screen_keeps_its_shape() -> None:
    row = "\u2502 from amy [evt_2a]: hunter2   ok \u2502"
    shape = Redactor(SALT).row(row)
    assert len(shape) == len(row)
    assert shape == "\u2502xxxxxxxxxxxevt_2axxxxxxxxxx   xxx\u2502"
