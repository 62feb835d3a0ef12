"""Canonical equivalents are one name, in any case; what was recorded keeps the form it has."""

from __future__ import annotations

import json
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ackbook.broker.core.commands import Flush, Release, Send, SetMode, Subscribe, Unsubscribe
from ackbook.broker.core.spelling import agent_called, respelled, spelled
from ackbook.broker.wire.problems import Problem
from ackbook.broker.wire.requests import channels_request, send_request, spawn_request
from ackbook.projections.facts import AgentName
from ackbook.projections.names import canonical, forms, match_key
from tests.support.orders import spawn
from tests.support.simulated import Simulated

NFC, NFD = "José", "Jose\u0301"
CAFE, CAFE_NFD = "café", "cafe\u0301"
OLD = [NFC, NFD]


def test_the_two_forms_are_not_the_same_text() -> None:
    assert NFC != NFD
    assert normalize("NFC", NFD) == NFC


@given(st.text(), st.sampled_from(["NFC", "NFD"]))
def test_every_form_of_a_name_in_any_case_has_one_key(name: str, form: str) -> None:
    assert match_key(normalize(form, name)) == match_key(name)
    assert match_key(match_key(name)) == match_key(name)
    assert match_key(canonical(name)) == match_key(name)


@given(st.text(), st.sampled_from(["NFC", "NFD"]))
def test_every_form_of_a_name_is_recorded_in_one(name: str, form: str) -> None:
    assert canonical(normalize(form, name)) == canonical(name)
    assert canonical(name) in forms(name)


@pytest.mark.parametrize("recorded", OLD)
@pytest.mark.parametrize("asked", [NFC, NFD, NFC.upper(), NFD.lower()])
def test_who_is_recorded_is_found_by_any_form_in_any_case(recorded: str, asked: str) -> None:
    broker = Simulated()
    spawn(broker, recorded, "general")
    spawn(broker, "bob")
    found = agent_called(broker.world, asked)
    assert found is not None
    assert found.name == spelled(broker.world, asked) == recorded
    name = AgentName(asked)
    for command in (
        Release(name=name),
        Flush(name=name),
        SetMode(name=name, mode="manual_flush"),
        Subscribe(name=name, channels=("x",)),
    ):
        meant = respelled(broker.world, command)
        assert meant.name == recorded  # type: ignore[union-attr]  # each of these has one
    for target in (asked, f"@{asked}"):
        sent = respelled(broker.world, Send(sender="human", target=target, body="hi"))
        assert isinstance(sent, Send)
        assert broker.sent(sent).deliveries[0][1] == recorded


def test_who_is_new_is_named_in_one_form() -> None:
    broker = Simulated()
    assert spelled(broker.world, NFD) == NFC
    sent = respelled(broker.world, Send(sender=NFD, target=f"#{CAFE_NFD}", body="hi"))
    assert isinstance(sent, Send)
    assert (sent.sender, sent.target) == (NFC, f"#{CAFE}")


def test_two_that_an_older_version_took_for_two_are_both_there_as_they_are_written() -> None:
    broker = Simulated()
    for each in OLD:
        spawn(broker, each)
    for each in OLD:
        found = agent_called(broker.world, each)
        assert found is not None
        assert found.name == each
    broker.world.check()


def test_who_was_released_gets_the_next_generation_under_the_name_it_had() -> None:
    broker = Simulated()
    spawn(broker, NFD)
    broker.ask(Release(name=AgentName(NFD)))
    assert agent_called(broker.world, NFC) is None
    assert match_key(spelled(broker.world, NFC)) == match_key(NFD)
    assert spelled(broker.world, NFC) == NFD


def test_a_key_that_was_used_under_the_other_form_gives_the_first_answer_again() -> None:
    broker = Simulated()
    spawn(broker, "bob")
    first = broker.sent(Send(sender=NFD, target="bob", body="once", key="k"))
    again = respelled(broker.world, Send(sender=NFC, target="bob", body="once", key="k"))
    repeated = broker.sent(again)
    assert (repeated.event_id, repeated.repeated) == (first.event_id, True)


def test_a_channel_is_one_in_either_form_also_where_it_was_joined_before() -> None:
    broker = Simulated()
    spawn(broker, "old", CAFE_NFD)
    spawn(broker, "new", CAFE)
    for channel in (CAFE, CAFE_NFD):
        sent = respelled(broker.world, Send(sender="human", target=f"#{channel}", body="hi"))
        assert {agent for _, agent in broker.sent(sent).deliveries} == {"old", "new"}
    for change in (Subscribe, Unsubscribe):
        meant = respelled(broker.world, change(name=AgentName("old"), channels=(f"#{CAFE}",)))
        assert meant.channels == (CAFE_NFD,)  # type: ignore[union-attr]  # both have channels


@pytest.mark.parametrize("name", [".", "..", "@.", "#.."])
def test_a_step_of_a_path_is_no_name(name: str) -> None:
    quoted = name.encode()
    for body in (
        b'{"name": "%s", "cli": "cat"}' % quoted,
        b'{"name": "bob", "cli": "cat", "channels": ["%s"]}' % quoted,
        b'{"name": "bob", "cli": "cat", "parent": "%s"}' % quoted,
    ):
        with pytest.raises(Problem, match="is no name"):
            spawn_request(body)
    with pytest.raises(Problem, match="is no name"):
        send_request(b'{"to": "bob", "text": "hi", "from": "%s"}' % quoted)
    with pytest.raises(Problem, match="is no name"):
        channels_request(b'{"channels": ["%s"]}' % quoted)


def test_names_of_a_request_come_in_one_form() -> None:
    asked = {"name": NFD, "cli": "cat", "channels": [f"#{CAFE_NFD}"], "parent": NFD}
    told = spawn_request(json.dumps(asked, ensure_ascii=False).encode())
    assert (told.name, told.channels, told.parent) == (NFC, (CAFE,), NFC)
    sent = send_request(f'{{"to": "bob", "text": "{NFD}", "from": "{NFD}"}}'.encode())
    assert (sent.command.sender, sent.command.body) == (NFC, NFD)
