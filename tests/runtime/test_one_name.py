"""One name in all its forms, wherever it enters a broker; and no path that can be read in two ways.

What 0.1.0 recorded in another form is opened, continued and found.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from ackbook.broker.core.commands import ReportEnded, SetMode, StopBroker
from ackbook.projections.facts import AgentName
from tests.support.brokers import Running, idle, running
from tests.support.past import Past
from tests.support.shell import ackbook

NFC, NFD = "José", "Jose\u0301"
PATHS = [quote(form, safe="") for form in (NFC, NFD, NFC.lower())]


@pytest.fixture(scope="module")
def broker() -> Iterator[Running]:
    with running() as broker:
        broker.spawn(NFD, "cat", channels=["cafe\u0301"])
        broker.spawn("bob", "cat")
        yield broker


@pytest.mark.parametrize("path", PATHS)
def test_every_route_finds_an_agent_by_any_form_of_its_name(broker: Running, path: str) -> None:
    assert broker.agent(path)["name"] == NFC
    assert broker.get(f"/api/spawned/{path}/pending")["pending"] == []
    assert "mode" in broker.get(f"/api/spawned/{path}/delivery-mode")
    assert broker.get(f"/api/spawned/{path}/snapshot")["rows"] == 24
    assert broker.post(f"/api/spawned/{path}/flush")["flushed"] == 0
    assert broker.post(f"/api/resize/{path}", rows=24, cols=80)["rows"] == 24
    told = broker.get(f"/api/why?agent={path}&last=1") if broker.kinds("message.enqueued") else {}
    assert told == {} or told["stories"]


def test_a_second_agent_of_the_other_form_is_refused(broker: Running) -> None:
    for form in (NFC, NFD):
        answer = broker.http.post("/api/spawn", json={"name": form, "cli": "cat"})
        assert answer.status_code == 409, answer.text
        assert f'Agent "{NFC}" already exists' in answer.json()["message"]


def test_a_message_arrives_by_any_form_and_its_sender_has_one(broker: Running) -> None:
    for form in (NFC, NFD, f"@{NFD}"):
        assert broker.deliver(form, "hello", **{"from": "Zoe\u0308"})["agent"] == NFC
    assert {fact["from"] for fact in broker.kinds("message.enqueued")} == {"Zo\u00eb"}
    first = broker.send("bob", "once", **{"from": "Zoe\u0308"}, idempotency_key="k")
    again = broker.send("bob", "once", **{"from": "Zo\u00eb"}, idempotency_key="k")
    assert again["event_id"] == first["event_id"]
    for sender in ("Zoe\u0308", "Zo\u00eb"):
        asked = f"/api/why?key=k&from={quote(sender)}"
        assert first["event_id"] in str(broker.get(asked)["stories"])


def test_a_channel_is_one_in_either_form(broker: Running) -> None:
    for channel in ("café", "cafe\u0301"):
        sent = broker.send(f"#{channel}", "hello", **{"from": "human"})
        assert [each["agent"] for each in sent["deliveries"]] == [NFC]
        joined = broker.post(f"/api/spawned/{PATHS[1]}/subscribe", channels=[channel])
        assert joined["channels"] == ["café"]


@pytest.mark.parametrize("name", [".", ".."])
def test_what_a_path_takes_for_a_step_is_no_name(broker: Running, name: str) -> None:
    for body in ({"name": name, "cli": "cat"}, {"name": "new", "cli": "cat", "channels": [name]}):
        assert broker.http.post("/api/spawn", json=body).status_code == 400
    sent = broker.http.post("/api/send", json={"to": "bob", "text": "hi", "from": name})
    assert sent.status_code == 400
    answer = broker.http.post("/api/spawned/bob/subscribe", json={"channels": [name]})
    assert answer.status_code == 400
    assert broker.http.post("/api/send", json={"to": name, "text": "hi"}).status_code == 404


@pytest.mark.parametrize("slash", ["%2F", "%2f"])
def test_a_name_with_an_encoded_slash_is_not_taken_for_the_route_of_another(
    broker: Running, slash: str
) -> None:
    pid = broker.agent("bob")["pid"]
    for method, path in (
        ("POST", f"/api/spawned/bob{slash}restart"),
        ("POST", f"/api/spawned/bob{slash}flush"),
        ("DELETE", f"/api/spawned{slash}bob"),
        ("GET", f"/api/why{slash}evt_1"),
        ("GET", f"/health{slash}"),
    ):
        answer = broker.http.request(method, path)
        assert answer.status_code == 400, (path, answer.text)
        assert answer.json()["code"] == "invalid_request"
    assert broker.agent("bob")["pid"] == pid


def an_old_journal(directory: Path, *names: str) -> None:
    """As 0.1.0 wrote it: names stand there as they were typed."""
    with Past(directory / "journal") as past:
        past.start()
        for name in names:
            past.spawn(name, channels=("cafe\u0301",))
            past.tell(SetMode(name=AgentName(name), mode="manual_flush"))
            past.send(name, "waits", sender="Zoe\u0308")
        for name in names:
            ended = ReportEnded(name=AgentName(name), generation=1, reason="broker_stopped")
            past.tell(ended)
        past.tell(StopBroker(reason="signal"))


def test_an_older_journal_opens_and_its_agents_are_found_by_any_form() -> None:
    with idle() as broker:
        an_old_journal(broker.directory, NFD)
        broker.start()
        for path in PATHS:
            assert broker.agent(path)["name"] == NFD
        assert broker.send("#café", "to the old one")["deliveries"][0]["agent"] == NFD
        assert broker.spawn(NFC, "cat", channels=["café"])["name"] == NFD
        assert broker.agent(PATHS[0])["generation"] == 2
        assert broker.send("#café", "hello")["deliveries"][0]["agent"] == NFD
        assert broker.post(f"/api/spawned/{PATHS[0]}/flush")["flushed"] == 3
        broker.settled()
        broker.check_decisions()
        for form in (NFC, NFD):
            done = ackbook(
                *("report", "--agent", form, "--json", "--dir", broker.directory),
                cwd=broker.directory,
            )
            assert NFD in done.out
            shown = ackbook(
                *("cat", "--agent", form, "--kind", "agent.spawned", "--dir", broker.directory),
                cwd=broker.directory,
            )
            assert len(shown.out.splitlines()) == 2


def test_an_older_journal_with_both_forms_opens_and_each_is_reached_as_it_is_written() -> None:
    with idle() as broker:
        an_old_journal(broker.directory, NFD, NFC)
        broker.start()
        for form in (NFC, NFD):
            path = quote(form, safe="")
            assert broker.agent(path)["name"] == form
            assert [row["body"] for row in broker.get(f"/api/spawned/{path}/pending")["pending"]]
        assert broker.verified()
        broker.check_decisions()
