"""Holders outlive brokers, so a broker meets holders of the version before, and obeys old orders.

What a real broker and a real holder of that version said to each other is played: its holder to
today's broker, and its broker to today's holder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.wire.frames import (
    InputDone,
    ProgramEnded,
    ScreenShown,
    Welcome,
    decode_launch,
    encode,
)
from tests.support.holders import ROOT, Link, environment, gone, short_directory, start
from tests.support.shell import House
from tests.upgrades.played_holder import answered, connections
from tests.upgrades.versions import VERSIONS, Left, Row

AGENT = "dave"

PASSING = (
    *("delivery_id", "event_id", "header", "window_ms"),
    *("epoch", "journal_id", "instance", "pid", "started", "lineages"),
    *("home", "home_is"),
)


@pytest.fixture(params=VERSIONS, ids=lambda left: left.version)
def left(request: pytest.FixtureRequest) -> Left:
    version: Left = request.param
    return version


def launched(left: Left) -> Row:
    """The order with which the holder was started."""
    rows = [row["frame"] for row in left.heard("last_day")]
    [order] = [row for row in rows if row["frame"] == "launch" and row["name"] == AGENT]
    return order


@contextmanager
def played(left: Left, house: House) -> Iterator[subprocess.Popen[str]]:
    """The holder of that version, at the place that its broker recorded."""
    path = house.directory / "holders" / os.path.basename(launched(left)["socket"])
    path.parent.mkdir(exist_ok=True)
    command = ("-m", "tests.upgrades.played_holder", left.version, "next_day", AGENT, str(path))
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_holder_of_that_version_is_adopted_with_what_it_knows(left: Left, tmp_path: Path) -> None:
    house = House(tmp_path)
    house.directory = left.copy(tmp_path)
    (house.directory / "connection.json").unlink()
    [then] = connections(left.heard("next_day"), AGENT)
    welcome = answered(then)[0][1][0]
    [unsettled] = welcome["reports"]
    pending = json.dumps(house("replay", "--json").json())
    assert unsettled["delivery_id"] in pending
    with played(left, house) as holder:
        house.up()
        try:
            listed = {agent["name"]: agent for agent in house("ls", "--json").json()["agents"]}
            assert (listed[AGENT]["pid"], listed[AGENT]["state"]) == (welcome["pid"], "ready")
            sent = house("send", AGENT, "after the start", "--wait", "60", "--json")
            assert sent.code == 0, sent
            assert house("release", AGENT).code == 0
            assert holder.wait(60) == 0
        finally:
            house.close()
        assert holder.stdout is not None
        heard = list(map(json.loads, holder.stdout))
    told = house("why", unsettled["delivery_id"], "--json").json()
    assert told["settled_seq"]
    [new] = sent.json()["deliveries"]
    attempted = house("cat", "--kind", "delivery.attempted", "--json").lines()
    attempts = [row["data"] for row in attempted]
    for delivery in (unsettled["delivery_id"], new["delivery_id"]):
        assert len([each for each in attempts if each["delivery_id"] == delivery]) == 1
    typed = [frame["delivery_id"] for frame in heard if frame["frame"] == "type"]
    assert typed == [new["delivery_id"]]
    orders = [row["frame"] for row in then if row["from"] == "broker"]
    assert [lasting(frame) for frame in heard] == [lasting(frame) for frame in orders]


def test_a_holder_of_that_version_types_nothing_for_a_journal_that_was_put_back(
    left: Left, tmp_path: Path
) -> None:
    """It does not name what it typed since the copy was made: a person says what becomes of it."""
    house = House(tmp_path)
    house.directory = left.copy(tmp_path)
    (house.directory / "connection.json").unlink()
    (house.directory / "journal" / "LOCK").unlink()
    with played(left, house) as holder:
        house.up()
        try:
            [row] = [a for a in house("ls", "--json").json()["agents"] if a["name"] == AGENT]
            assert row["state"] == "unknown"
            said = house("ls").err
            assert "cannot say what it typed before the journal was put back" in said
            assert f"ackbook release {AGENT}" in said
            house("send", AGENT, "not now")
            assert house("release", AGENT).code == 0
            holder.wait(60)
        finally:
            house.close()
        assert holder.stdout is not None
        heard = {json.loads(line)["frame"] for line in holder.stdout}
        assert "type" not in heard
        assert "end" in heard


def lasting(frame: Row) -> Row:
    """What an order says whichever message and broker it is of."""
    return {key: value for key, value in frame.items() if key not in PASSING}


def test_a_holder_of_today_obeys_a_broker_of_that_version(left: Left) -> None:
    days = ("last_day", "next_day")
    lives = [life for day in days for life in connections(left.heard(day), AGENT)]
    assert len(lives) == 3
    with short_directory() as directory:
        own = {
            "cwd": str(directory),
            "env": environment(),
            "socket": str(directory / "s"),
            "spool": str(directory / "spool"),
            "screens": str(directory / "screens.jsonl"),
        }
        order = decode_launch(json.dumps(launched(left) | own).encode())
        assert json.loads(encode(order)).keys() == launched(left).keys()
        with start(order) as holder:
            for life in lives:
                link = holder.connect()
                obeys(link, life)
                link.close()
            assert holder.wait() == 0
            assert gone(holder.process.pid)


def obeys(link: Link, life: list[Row]) -> None:
    """Say what the broker said, when it said it, and hear what its own holder answered."""
    for order, then in answered(life):
        if order["frame"] == "type":
            link.ready()
        link.send_raw(_line(order))
        match order["frame"]:
            case "hello":
                said = link.wait(Welcome)
                assert same(said, then[0], "name", "generation", "named")
                assert [told(each) for each in said.reports] == [
                    told(_report(each)) for each in then[0].get("reports", ())
                ]
            case "type":
                last = _report([each for each in then if each["frame"] == "report"][-1])
                link.wait(Report, lambda each, last=last: told(each) == told(last))
            case "screen_asked":
                shown = link.wait(ScreenShown)
                asked = next(each for each in then if each["frame"] == "screen_shown")
                assert same(shown, asked, "request", "format", "rows", "cols", "cursor", "text")
            case "input":
                done = link.wait(InputDone)
                [asked] = [each for each in then if each["frame"] == "input_done"]
                assert same(done, asked, "request", "bytes_written")
            case "end":
                ended = link.wait(ProgramEnded)
                assert same(ended, then[-1], "reason", "signal", "began")
        for row in following(life, order):
            link.send_raw(_line(row))


def following(life: list[Row], order: Row) -> Iterator[Row]:
    """The orders behind this one that ask for no answer."""
    asking = [each for each, _ in answered(life)]
    orders = [row["frame"] for row in life if row["from"] == "broker"]
    for frame in orders[orders.index(order) + 1 :]:
        if frame in asking:
            return
        yield frame


def told(report: Report) -> tuple[object, ...]:
    """What a report says whatever the terminal had shown before."""
    how = (report.seen and report.seen.how, report.submitted and report.submitted.how)
    form = report.written and (report.written.form, report.written.bytes_written)
    return report.delivery_id, report.attempt, report.phase, form, how, report.input_empty


def same(now: object, then: Row, *fields: str) -> bool:
    """Whether the holder of today says the same in these fields, as JSON has them."""
    said = json.loads(encode(now))  # type: ignore[arg-type]
    differ = [field for field in fields if said.get(field) != then.get(field)]
    assert not differ, (said, then)
    return True


def _report(row: Row) -> Report:
    return msgspec.convert(row, Report)


def _line(frame: Row) -> bytes:
    return json.dumps(frame, separators=(",", ":")).encode() + b"\n"
