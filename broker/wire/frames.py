"""Frames: what a broker and a holder say to each other, one JSON object a line, over a unix socket.

The broker speaks first, with `Hello`; a holder obeys the highest epoch that it has seen, and before
it answers `Welcome` it closes every older connection and throws away what it has not read from it.
Reports are cumulative: a `Report` says all that the holder knows of one attempt, so that repeating
one is harmless and losing one is made good by the next. A holder keeps the report of an attempt
until `AttemptSettled` says that its record is durable, and begins an attempt, named by its delivery
and number, at most once.

This module knows the shapes and their bytes; it knows neither sockets nor terminals.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from ackbook.broker.core.attempt_report import Report
from ackbook.projections.facts import AgentName, DeliveryId, EventId, HeldReason, Mode

PROTOCOL = 1
"""Of these frames; a holder refuses a broker that names another one."""

FRAME_BYTES_MAX = 8 * 1024 * 1024
"""A body of 512 KiB grows at most sixfold when escaped; output chunks are far smaller."""


SHORT = "short: "
"""How a holder's one line begins that could not start its program for lack of what passes."""

SPEAKS = ("settled",)
"""`settled`: it names what was settled. The protocol stays what it is: what is new is told here,
and no frame is sent to a holder that did not say that it knows it."""

UMASK = 0o022
"""Of programs, unless somebody says otherwise: others read what they write, as is usual."""


class Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of all frames."""


# --- broker to holder


class Launch(Frame, frozen=True, tag_field="frame", tag="launch"):
    """What to run, on the holder's standard input before any socket exists. Never on disk.

    `listing`: the directory in which it is to be found as well, see `rendezvous`; none if empty.
    `screens`: the file that keeps screens of evidence; none are kept where it is empty. `stay_s`:
    how long the holder waits for a broker that names it before it ends itself. `umask`: of the
    program, whatever that of its broker is. `home`: what the broker's directory is called, which is
    the holder's working directory at its start; where it is empty, paths are used as they are.
    """

    name: AgentName
    generation: int
    command: str
    args: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    socket: str
    spool: str
    screens: str = ""
    rows: int = 24
    cols: int = 80
    profile: str = "generic"
    idle_threshold_s: int = 30
    stay_s: int = 30
    umask: int = UMASK
    home: str = ""
    listing: str = ""


class Hello(Frame, frozen=True, tag_field="frame", tag="hello"):
    """The first frame of a broker. `instance` is unique to the broker's process, which is `pid`;
    it began at `started` (clock ticks since the machine did, as in `/proc/PID/stat`).

    `lineages`: the histories that its journal went through, see `projections.ids`. One that begins
    with those of the broker that was obeyed goes on from it, and is obeyed whatever its epoch is,
    once that broker is gone; any other is another history, and is refused. `home`: what the
    broker's directory is called, and `home_is` its device and inode; a holder whose own directory
    was removed, or replaced by a copy, keeps its files there from then on.
    """

    epoch: int
    journal_id: str
    instance: str
    protocol: int = PROTOCOL
    lineages: tuple[str, ...] = ()
    pid: int = 0
    started: int = 0
    home: str = ""
    home_is: tuple[int, int] = (0, 0)


class Named(Frame, frozen=True, tag_field="frame", tag="named"):
    """The agent's `agent.spawned` is durable: from now on the holder outlives its broker."""


class TypeOrder(Frame, frozen=True, tag_field="frame", tag="type"):
    """Type this message and watch for it. Refused when the generation is not the holder's.

    `override`: the deadline of a heuristic has passed, so a guess (busy, an unknown screen, an
    input line that looks filled) no longer stands in the way; a veto still does.
    """

    delivery_id: DeliveryId
    event_id: EventId
    attempt: int
    generation: int
    header: str
    body: str
    hint: str = ""
    mode: Mode = "wait"
    window_ms: int = 5_000
    settle_ms: int = 2_000
    override: bool = False


class AttemptSettled(Frame, frozen=True, tag_field="frame", tag="settled"):
    """The record of this attempt is durable and final: its report may be forgotten."""

    delivery_id: DeliveryId
    attempt: int


class Input(Frame, frozen=True, tag_field="frame", tag="input"):
    """Keystrokes of a human, as they are. `request` comes back in `InputDone`."""

    request: int
    data: bytes


class Resize(Frame, frozen=True, tag_field="frame", tag="resize"):
    """The size of the terminal, in cells."""

    rows: int
    cols: int


class ScreenAsked(Frame, frozen=True, tag_field="frame", tag="screen_asked"):
    """Show what stands on the screen. `request` comes back in `ScreenShown`."""

    request: int
    format: Literal["plain", "ansi"] = "plain"


class WatchOrder(Frame, frozen=True, tag_field="frame", tag="watch"):
    """Send output as it comes (`on`), and whether a human's terminal is attached to it."""

    on: bool
    human: bool = False


class EndOrder(Frame, frozen=True, tag_field="frame", tag="end"):
    """End the program (hang up, then kill after `grace_ms`) and then the holder."""

    grace_ms: int = 2_000


BrokerFrame: TypeAlias = (
    Hello
    | Named
    | TypeOrder
    | AttemptSettled
    | Input
    | Resize
    | ScreenAsked
    | WatchOrder
    | EndOrder
)


# --- holder to broker


class TerminalCondition(Frame, frozen=True, tag_field="frame", tag="condition"):
    """Whether the terminal takes input now.

    `state`: `starting` (not ready yet), `ready`, `blocked` (by `reason`). `how` says what made it
    ready (`prompt`, `quiet`, `deadline`, `input_empty`, `unblocked`). `heuristic`: the reason is a
    guess, which a deadline may override; a veto is not.
    """

    state: Literal["starting", "ready", "blocked"]
    how: str = ""
    reason: HeldReason | None = None
    heuristic: bool = False


class ProgramEnded(Frame, frozen=True, tag_field="frame", tag="ended"):
    """The program ended (`code` or `signal`), or its terminal closed (`terminal_closed`).

    `began`: every attempt that the holder has a report of; it begins no other from here on. None:
    a holder that does not say.
    """

    reason: Literal["exited", "signalled", "terminal_closed"]
    code: int | None = None
    signal: int | None = None
    uptime_ms: int = 0
    began: tuple[tuple[DeliveryId, int], ...] | None = None


class Welcome(Frame, frozen=True, tag_field="frame", tag="welcome"):
    """The answer to `Hello`: who this is, how it stands, and every attempt it knows of.

    `pid` is the program's. `offset`: bytes of output so far. `reports` are those that no broker has
    settled; `settled` the last of the others, for a broker whose journal was put back from a copy.
    `speaks`: what it knows that holders of version 0.1.0 did not; see `SPEAKS`.
    """

    name: AgentName
    generation: int
    holder_pid: int
    pid: int
    named: bool
    offset: int
    condition: TerminalCondition
    reports: tuple[Report, ...] = ()
    ended: ProgramEnded | None = None
    protocol: int = PROTOCOL
    settled: tuple[Report, ...] = ()
    speaks: tuple[str, ...] = ()


class InputDone(Frame, frozen=True, tag_field="frame", tag="input_done"):
    """The terminal took `bytes_written` of the keystrokes; fewer than given says `error`."""

    request: int
    bytes_written: int
    error: str = ""


class ScreenShown(Frame, frozen=True, tag_field="frame", tag="screen_shown"):
    """The screen: `plain` is one right-trimmed line a row, `ansi` a repaint with its modes.

    The cursor is (row, column), from 1.
    """

    request: int
    format: Literal["plain", "ansi"]
    rows: int
    cols: int
    cursor: tuple[int, int]
    offset: int
    text: str


class Output(Frame, frozen=True, tag_field="frame", tag="output"):
    """Output; `offset` is the stream's length after it. A gap: the watcher fell behind."""

    offset: int
    data: bytes


class Idle(Frame, frozen=True, tag_field="frame", tag="idle"):
    """No output for `idle_s` seconds."""

    idle_s: int


class EpochRefusal(Frame, frozen=True, tag_field="frame", tag="refusal"):
    """The holder does not obey: a higher epoch was seen, another broker is obeyed, or the protocol
    is another. It says all the same who it is, so that nobody is left unnamed.

    `obeys`: the pid of the broker that it obeys, where that runs. `home_is`: device and inode of
    the directory that its files are in; zeros where that was removed.
    """

    reason: Literal["older_epoch", "other_protocol", "bad_frame"]
    epoch: int = 0
    detail: str = ""
    name: str = ""
    pid: int = 0
    holder_pid: int = 0
    obeys: int = 0
    home_is: tuple[int, int] = (0, 0)


HolderFrame: TypeAlias = (
    Welcome
    | Report
    | TerminalCondition
    | ProgramEnded
    | InputDone
    | ScreenShown
    | Output
    | Idle
    | EpochRefusal
)

_encoder = msgspec.json.Encoder()
_broker_frames: msgspec.json.Decoder[BrokerFrame] = msgspec.json.Decoder(BrokerFrame)
_holder_frames: msgspec.json.Decoder[HolderFrame] = msgspec.json.Decoder(HolderFrame)
_launch = msgspec.json.Decoder(Launch)


def encode(frame: BrokerFrame | HolderFrame | Launch) -> bytes:
    """One line, newline included. Bytes travel as base64."""
    return _encoder.encode(frame) + b"\n"


def decode_broker(line: bytes) -> BrokerFrame:
    """A frame that a broker sent. Raises `msgspec.DecodeError` for anything else."""
    return _broker_frames.decode(line)


def decode_holder(line: bytes) -> HolderFrame:
    """A frame that a holder sent. Raises `msgspec.DecodeError` for anything else."""
    return _holder_frames.decode(line)


def decode_launch(line: bytes) -> Launch:
    """The launch order on a holder's standard input."""
    return _launch.decode(line)
