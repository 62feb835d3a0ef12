"""`ackbook verify`: every byte of the journal, and an exit code that says what was found."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.journal_endings import exit_code_of, exit_code_of_verdict, step_at_a_shell
from ackbook.journal import (
    Damage,
    DamageFound,
    HeadToken,
    JournalError,
    NextStep,
    Reader,
    VerifyReport,
    check_token,
    parse_token,
)
from ackbook.journal import verify as verify_journal
from ackbook.projections.codec import decode, decode_block
from ackbook.projections.facts import KINDS
from ackbook.tools.cli.options import json_option, place_option
from ackbook.tools.cli.output import bad, bold, dim, emit, good, plain, poor, say, tell
from ackbook.tools.cli.place import Place, place_of
from ackbook.tools.history.journal import as_failure


def _read_token(_: click.Context, __: click.Parameter, text: str | None) -> HeadToken | None:
    if text is None:
        return None
    token = parse_token(text)
    if token is None:
        raise click.BadParameter("it is no token; one is printed by: ackbook head")
    return token


@click.command()
@click.option(
    "--fast/--full",
    "fast",
    default=False,
    help="Checksums only, or also each sha256 and the shape of each record (the default).",
)
@click.option(
    "--head",
    "token",
    metavar="TOKEN",
    callback=_read_token,
    help="Nothing up to this token of `ackbook head` may have changed.",
)
@click.option(
    "--slice",
    "bundle",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Check a bundle instead.",
)
@click.option(
    "--against",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --slice: it is also of the journal in DIR.",
)
@json_option
@place_option
def verify(
    fast: bool,
    token: HeadToken | None,
    bundle: Path | None,
    against: Path | None,
    as_json: bool,
    place: Place,
) -> int:
    """Check the whole journal; nothing is changed, and no broker is needed.

    Every byte is checked either way. --fast computes one checksum, --full also the sha256 of each
    segment and whether each record has the shape that its kind has.

    The exit code is 0 when all is well, 1 when a start would cut an unacknowledged end, 4 when
    something is corrupt or was rewritten, 7 when acknowledged records are missing at the end or
    were rolled back, 10 when a newer version wrote it, and 3 when the token names a record that is
    no longer kept.
    """
    if bundle is not None:
        from ackbook.tools.history.slice_check import verify_slice

        whole = None if against is None else place_of(against)
        return verify_slice(bundle, whole, as_json=as_json)
    if against is not None:
        raise click.UsageError("--against is for --slice FILE")
    directory = place.journal()
    try:
        found = verify_journal(directory, kinds=KINDS, full=not fast)
        later: list[DamageFound | None] = [check_token(directory, token)] if token else []
    except JournalError as problem:
        raise as_failure(problem) from None
    code = exit_code_of_verdict(found)
    damage = list(found.damage)
    for one in later:
        if one is not None and one.damage is not None:
            damage.append(one.damage)
            code = code or exit_code_of(one)
    wrong = None if fast or code == ExitCode.NEWER_FORMAT else _wrong_shape(directory)
    if wrong is not None:
        damage.append(wrong)
        code = code or ExitCode.NEWER_FORMAT
    for warning in found.warnings:
        say(f"{poor('note:')} {plain(warning)}")
    if as_json:
        _emit(found, code, damage)
    else:
        _show(directory, found, code, damage)
        if token is not None and not any(later):
            tell(f"  nothing up to record {token.seq} has changed since the token was made")
    return code


def _wrong_shape(directory: Path) -> Damage | None:
    """The first record that verifies and is nothing that this version writes."""
    for block in Reader(directory).blocks():
        try:
            decode_block(block)
        except msgspec.DecodeError:
            return next(filter(None, (_judge(directory, raw) for raw in block.split(b"\n") if raw)))
    return None


def _judge(directory: Path, raw: bytes) -> Damage | None:
    try:
        decode(raw)
    except msgspec.DecodeError as problem:
        seq = msgspec.json.decode(raw, type=_Position).seq
        for path in sorted(directory.glob("*.jsonl"), reverse=True):
            before, found, _ = path.read_bytes().partition(raw + b"\n")
            if found:
                line = before.count(b"\n") + 1
                what = f"record {seq} has a shape that this version does not know"
                following = NextStep("use the version that wrote it, or a later one")
                return Damage(path.name, line, len(before), what, str(problem), following)
        what = f"archived record {seq} has a shape that this version does not know"
        following = NextStep("use the version that wrote it, or a later one")
        return Damage("archive", 0, 0, what, str(problem), following)
    return None


class _Position(msgspec.Struct):
    seq: int


def _emit(found: VerifyReport, code: int, damage: list[Damage]) -> None:
    emit(
        {
            "ok": not code,
            "first_seq": found.first_seq,
            "last_seq": found.last_seq,
            "records": found.records,
            "segments": found.segments,
            "damage": [
                {
                    "file": one.file,
                    "line": one.line,
                    "byte": one.byte,
                    "what": f"{one.what} ({one.proof})" if one.proof else one.what,
                    "next": step_at_a_shell(one.next),
                }
                for one in damage
            ],
        }
    )


def _show(directory: Path, found: VerifyReport, code: int, damage: list[Damage]) -> None:
    verdict = good("good") if not code else bad(found.verdict if not found.ok else "not as it was")
    extent = f"records {found.first_seq} to {found.last_seq}" if found.records else "no records"
    count = f"{found.records} in {found.segments} file{'' if found.segments == 1 else 's'}"
    tell(f"{bold(str(directory))}: {verdict}, {extent} {dim(f'({count})')}")
    for one in damage:
        where = f"{one.file}, line {one.line}, byte {one.byte}" if one.line else one.file
        tell(f"  {bad(plain(where))}: {plain(one.what)}")
        if one.proof:
            tell(f"    proof: {plain(one.proof)}")
        tell(f"    next:  {plain(step_at_a_shell(one.next))}")
