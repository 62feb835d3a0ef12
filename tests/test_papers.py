"""What the papers say is so: their tests exist, their tables agree with the code, and what they
tell people to run is run.

Every block of commands in every paper is either run here, in the surroundings that its section
supposes, or stands in `NOT_RUN` with a reason. A block that is in neither fails.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from shutil import which

import pytest

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.runtime.api.routes import ROUTES
from ackbook.broker.wire.identity import DOORS
from tests.decisions.planted import BUGS, record

ROOT = Path(__file__).parent.parent
BINARIES = Path(sys.executable).parent
PAPERS = {
    str(path.relative_to(ROOT)): path.read_text()
    for pattern in ("*.md", "*/*.md")
    for path in sorted(ROOT.glob(pattern))
    if path.relative_to(ROOT).parts[0] not in ("build", "dist")
}
CHANGES = "CHANGELOG.md"
"""Tells of the past, so what it names may be gone."""

README_LINES_MAX = 160
PROMISES = 5
SHOWN = 12


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences, and where."""

    paper: str
    section: str
    language: str
    text: str


def blocks() -> Iterator[Block]:
    for paper, text in PAPERS.items():
        section = ""
        for found in re.finditer(
            r"^## (?P<section>[^\n]*)$|^```(?P<language>\w*)\n(?P<text>.*?)^```$", text, re.M | re.S
        ):
            section = found["section"] or section
            if found["language"]:
                yield Block(paper, section, found["language"], found["text"])


BLOCKS = list(blocks())

FRESH, LIVED_IN, PAST, PLANTED, CHECKOUT = "fresh", "lived in", "past", "planted", "checkout"
RUN = {
    ("README.md", "Five minutes"): FRESH,
    ("broker/README.md", "Over HTTP"): LIVED_IN,
    ("tools/README.md", "`--json`"): LIVED_IN,
    ("tools/README.md", "Going back"): PAST,
    ("tools/README.md", "Deciding again"): PAST,
    ("tools/README.md", "Debugging a delivery"): PLANTED,
    ("journal/README.md", "When something is damaged"): PAST,
    ("projections/README.md", "Adding a fact"): CHECKOUT,
    ("tests/README.md", "Running them"): CHECKOUT,
    ("tests/README.md", "Campaigns"): CHECKOUT,
}
"""The surroundings of each section with commands: an empty directory; one with a broker and an
agent called bob; one with the journal of an earlier day; the planted bugs; this checkout."""

NOT_RUN = {
    "make demo    # ": "tests/test_demo.py runs it",
    "make test    # ": "this is it",
    "pip install .": "tests/test_packaging.py installs what is built",
    "pip install '.[fast]'": "the same, with libraries that a test must not fetch",
    "ackbook replay --step": "asks for a terminal; tests/tools/test_step.py has one",
}
"""Lines that are not run, by their beginning, each with its reason."""

ENDS_WITH_1 = ("ackbook replay diff",)
"""Where something differs, which is an answer."""


def section(paper: str, title: str) -> str:
    return re.split(r"^## ", PAPERS[paper].partition(f"## {title}\n")[2], flags=re.MULTILINE)[0]


def example(paper: str, title: str, language: str) -> str:
    [found, *_] = [
        block.text
        for block in BLOCKS
        if (block.paper, block.section, block.language) == (paper, title, language)
    ]
    return found


def names(requirements: list[str]) -> list[str]:
    return [re.split(r"[^\w.-]", requirement)[0] for requirement in requirements]


def environment(directory: Path) -> dict[str, str]:
    return os.environ | {
        "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
        "ACKBOOK_DIR": str(directory / ".ackbook"),
    }


def collected(*tests: str) -> None:
    found = subprocess.run(
        (sys.executable, "-m", "pytest", "--collect-only", "-q", *tests),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


# --- what is named exists


def test_every_promise_names_a_test_that_can_be_run() -> None:
    text = section("README.md", "What it promises")
    promises = re.findall(r"^\d\. .*?(?=^\d\. |\Z)", text, re.M | re.S)
    assert len(promises) == PROMISES
    named = [re.findall(r"`(tests/\S+\.py::\w+)`", promise) for promise in promises]
    assert all(named)
    collected(*chain.from_iterable(named))


def test_the_front_page_stays_one() -> None:
    assert len(PAPERS["README.md"].splitlines()) <= README_LINES_MAX


def slugs(text: str) -> set[str]:
    """The anchors of a paper, as they are made where it is shown."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("paper", PAPERS)
def test_every_link_leads_somewhere(paper: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", PAPERS[paper]):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        there = (ROOT / paper).parent / path if path else ROOT / paper
        assert there.exists(), target
        if anchor:
            assert anchor in slugs(there.read_text()), target


TOPS = ("journal", "projections", "broker", "tools", "tests", ".ci")


@pytest.mark.parametrize("paper", sorted(PAPERS.keys() - {CHANGES}))
def test_every_path_that_is_named_exists(paper: str) -> None:
    quoted = re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", PAPERS[paper], flags=re.M | re.S)
    )
    paths = [word for word in quoted if re.match(rf"({'|'.join(map(re.escape, TOPS))})/\S*$", word)]
    missing = [path for path in paths if not (ROOT / path.partition("::")[0]).exists()]
    assert missing == []


@pytest.mark.parametrize("paper", sorted(PAPERS.keys() - {CHANGES}))
def test_every_module_that_is_named_can_be_imported(paper: str) -> None:
    for dotted in re.findall(r"\backbook(?:\.[a-z_]+)+", PAPERS[paper]):
        path = ROOT / dotted.removeprefix("ackbook.").replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").exists(), dotted


def test_every_word_of_the_glossary_is_one_of_the_code() -> None:
    rows = re.findall(
        r"^\| ([\w ]+) \| .* \| `(\S+)` \|$", PAPERS["broker/GLOSSARY.md"], re.MULTILINE
    )
    assert len(rows) == len({word for word, _ in rows}) > 0
    for word, path in rows:
        text = path + (ROOT / path).read_text().lower()
        assert re.search(re.sub(r"[ _]", r"[\\s_]*", word.rstrip("e").lower()), text), (word, path)


# --- tables that agree with the code

VERBS = re.findall(r"^\| `ackbook (\w+)", section("tools/README.md", "Commands"), re.MULTILINE)


def test_the_table_of_commands_is_what_help_shows() -> None:
    helped = subprocess.run(
        (BINARIES / "ackbook", "--help"), capture_output=True, text=True, check=True
    ).stdout
    shown = set(re.findall(r"^  ([a-z]+)  ", helped, re.MULTILINE))
    assert set(VERBS) == shown


@pytest.mark.parametrize("verb", VERBS)
def test_an_option_that_is_named_exists(verb: str) -> None:
    lines = PAPERS["tools/README.md"].splitlines()
    [row] = [line for line in lines if line.startswith(f"| `ackbook {verb}")]
    helped = subprocess.run(
        (BINARIES / "ackbook", verb, "--help"), capture_output=True, text=True, check=True
    ).stdout
    for option in re.findall(r"--[a-z]+(?:-[a-z]+)*", row):
        assert option in helped, option


def test_the_exit_codes_that_are_named_are_all_there_are() -> None:
    written = re.findall(r"^\| (\d+) \|", section("tools/README.md", "Commands"), re.MULTILINE)
    of_the_shell = {ExitCode.INTERRUPTED, ExitCode.READER_GONE}
    assert [int(code) for code in written] == sorted(set(ExitCode) - of_the_shell)


def test_the_targets_that_are_named_are_all_there_are() -> None:
    text = section("CONTRIBUTING.md", "Setting up")
    written = re.findall(r"^\| `make (\w+)`", text, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    targets = set(phony[1].split())
    assert {*written, "help"} == targets
    for paper, text in PAPERS.items():
        assert set(re.findall(r"`make ([a-z]+)`", text)) <= targets, paper


def test_the_routes_that_are_named_are_all_there_are() -> None:
    text = section("broker/README.md", "Over HTTP")
    written = re.findall(r"`((?:GET|POST|PUT|DELETE|WS) /\S*)`", text)
    assert sorted(written) == sorted(f"{route.method} {route.path}" for route in ROUTES)


def test_the_doors_that_are_named_are_all_there_are() -> None:
    rows = re.findall(r"^\| (`[`a-z, ]+`) \|", section("SECURITY.md", "Who is who"), re.MULTILINE)
    written = [word for row in rows for word in re.findall(r"`(\w+)`", row)]
    assert sorted(written) == sorted(DOORS)


def test_every_dependency_has_its_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = section("CONTRIBUTING.md", "Dependencies")
    assert re.findall(r"^\| `(\S+)` \|", text, re.MULTILINE) == names(project["dependencies"])
    for optional in chain.from_iterable(project["optional-dependencies"].values()):
        assert f"`{names([optional])[0]}`" in text


@pytest.mark.parametrize(
    ("paper", "title", "folder", "pattern"),
    [
        ("journal/README.md", "The code", "journal", "*/__init__.py"),
        ("broker/README.md", "The picture in full", "broker", "**/__init__.py"),
        ("projections/README.md", "What is where", "projections", "*/__init__.py"),
        ("projections/README.md", "What is where", "projections", "[a-z]*.py"),
        ("tests/README.md", "Where they are", "tests", "*/__init__.py"),
        ("tests/README.md", "Support", "tests/support", "[a-z]*.py"),
        ("tests/README.md", "Programs that are typed into", "tests/support/programs", "[a-z]*.py"),
    ],
)
def test_an_index_names_all_that_there_is(
    paper: str, title: str, folder: str, pattern: str
) -> None:
    """A wing is named by its folder, a module by its file; support has a table of its own."""
    there = {
        f"{path.parent.relative_to(ROOT)}/"
        if path.name == "__init__.py"
        else str(path.relative_to(ROOT))
        for path in (ROOT / folder).glob(pattern)
    } - {f"{folder}/", "broker/runtime/", "tests/support/"}
    assert there
    written = set(re.findall(r"^\| `([\w/.]+)` \|", section(paper, title), re.MULTILINE))
    assert there == written if len(there) == len(written) else there <= written


def test_the_examples_that_are_named_are_all_there_are() -> None:
    text = section("tools/README.md", "Examples")
    written = set(re.findall(r"^\| \[(\S+)\]\(examples/\1\)", text, re.MULTILINE))
    assert written == {path.name for path in (ROOT / "tools/examples").iterdir() if path.is_file()}


def test_the_hooks_run_what_is_here_and_fetch_nothing() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"repo: (\S+)", text) == ["local"]
    entries = re.findall(r"entry: \.venv/bin/(\w+)", text)
    assert len(entries) == text.count("entry:") > 0
    assert all((BINARIES / entry).exists() for entry in entries)


def test_the_signatures_that_are_told_are_those_of_the_code() -> None:
    """`decide`, `fold`, `derive`, `plan`: by name, and in the order of their arguments."""
    told = dict(
        re.findall(
            r"^(\w+)\(([\w, ]+)\)  ", section("broker/README.md", "The picture in full"), re.M
        )
    )
    homes = {
        "decide": "broker/core/decide.py",
        "fold": "projections/world/fold.py",
        "derive": "projections/events/derive.py",
        "plan": "broker/core/plan.py",
    }
    assert told.keys() == homes.keys()
    for name, path in homes.items():
        [function] = [
            node
            for node in ast.parse((ROOT / path).read_text()).body
            if isinstance(node, ast.FunctionDef) and node.name == name
        ]
        wanted = told[name].split(", ")
        assert [argument.arg for argument in function.args.args][: len(wanted)] == wanted


# --- what people are told to run


@contextmanager
def broker_ended_afterwards(directory: Path) -> Iterator[None]:
    try:
        yield
    finally:
        subprocess.run(
            (BINARIES / "ackbook", "down"),
            cwd=directory,
            env=environment(directory),
            capture_output=True,
            check=False,
        )


def run_in_shell(script: str, directory: Path, where: Path | None = None) -> str:
    """What it prints. It has to end with 0, and so has every line of it."""
    done = subprocess.run(
        ("bash", "-euc", script),
        cwd=where or directory,
        env=environment(directory),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def runnable(text: str) -> str:
    """Without the lines that are not run; where 1 is an answer, it is one here."""
    lines = [line for line in text.splitlines() if not line.startswith(tuple(NOT_RUN))]
    return "\n".join(
        f"{{ {line.partition('  #')[0]}\n}} || test $? = 1"
        if line.startswith(ENDS_WITH_1)
        else line
        for line in lines
    )


def scripts(surroundings: str) -> list[Block]:
    """The blocks of shell commands that are run in these."""
    return [
        block
        for block in BLOCKS
        if block.language == "sh"
        and RUN.get((block.paper, block.section)) == surroundings
        and runnable(block.text).strip()
    ]


def test_every_command_in_a_paper_is_run_or_has_a_reason_not_to() -> None:
    languages = {block.language for block in BLOCKS}
    assert languages == {"sh", "console", "python"}
    told = {(block.paper, block.section) for block in BLOCKS if block.language in ("sh", "console")}
    unknown = {
        (block.paper, block.section)
        for block in BLOCKS
        if block.language in ("sh", "console")
        and (block.paper, block.section) not in RUN
        and runnable(block.text).strip()
    }
    assert unknown == set()
    assert set(RUN) <= told, "a section is gone"
    texts = "\n".join(block.text for block in BLOCKS)
    assert all(f"\n{line}" in f"\n{texts}" for line in NOT_RUN), "a line is gone"


def test_the_first_five_minutes_run(tmp_path: Path) -> None:
    [block] = scripts(FRESH)
    with broker_ended_afterwards(tmp_path):
        printed = run_in_shell(block.text, tmp_path)
    assert "hello bob" in printed


@pytest.mark.skipif(not (which("jq") and which("curl")), reason="the examples use jq and curl")
def test_what_supposes_a_broker_with_an_agent_runs(tmp_path: Path) -> None:
    """One broker for all of them: what they say does not depend on what was said before."""
    with broker_ended_afterwards(tmp_path):
        run_in_shell("ackbook up --background; ackbook spawn bob --wait 20 -- cat", tmp_path)
        printed = {
            block.section: run_in_shell(runnable(block.text), tmp_path)
            for block in scripts(LIVED_IN)
        }
    assert '"outcome":"confirmed"' in printed["Over HTTP"]
    assert "agent_spawned" in printed["Over HTTP"]
    assert "echo\nbob\nready\n" in printed["`--json`"]
    assert '"kind":"delivery_verified"' in printed["`--json`"]


@pytest.mark.parametrize("block", scripts(PAST), ids=lambda block: block.section)
def test_what_supposes_a_past_runs(block: Block, tmp_path: Path) -> None:
    golden = ROOT / "tests/decisions/golden/v1/at-the-terminal"
    shutil.copytree(golden, tmp_path / ".ackbook" / "journal")
    assert run_in_shell(runnable(block.text), tmp_path)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("block", scripts(CHECKOUT), ids=lambda block: block.section)
def test_what_is_run_in_a_checkout_runs(block: Block, tmp_path: Path) -> None:
    text = runnable(block.text).replace(".venv/bin/", f"{BINARIES}/")
    assert run_in_shell(text, tmp_path, where=ROOT)


@pytest.fixture(scope="module")
def debugged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which `make planted` was run."""
    root = tmp_path_factory.mktemp("debugged")
    for name in BUGS:
        record(name, root / "build" / "planted" / name)
    return root


def test_debugging_a_delivery_prints_what_is_shown(debugged: Path) -> None:
    """Word by word: a terminal breaks long lines where it likes. `...` stands for whole lines."""
    told = [block.text for block in BLOCKS if block.language == "console"]
    commands = re.findall(r"^\$ (ackbook .*)\n((?:(?!\$ ).*\n?)*)", "\n".join(told), re.M)
    assert len(commands) == SHOWN
    for command, expected in commands:
        done = subprocess.run(
            ("bash", "-c", command),
            cwd=debugged,
            env=environment(debugged) | {"TZ": "UTC"},
            capture_output=True,
            text=True,
            check=False,
        )
        pieces = re.split(r"^\.\.\.$", expected, flags=re.M)
        pattern = ".*".join(r"\s+".join(map(re.escape, piece.split())) for piece in pieces)
        assert re.fullmatch(rf"\s*{pattern}\s*", done.stdout, re.S), (
            command,
            done.stdout,
            done.stderr,
        )


ALONE = example("journal/README.md", "The journal alone", "python")


def test_every_python_in_a_paper_is_the_journal_alone() -> None:
    assert [block.text for block in BLOCKS if block.language == "python"] == [ALONE]


def test_the_journal_alone_runs_and_goes_on_when_it_is_run_again(tmp_path: Path) -> None:
    for count in (65, 130):
        done = subprocess.run(
            (sys.executable, "-c", ALONE),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("order.placed") == count


def test_the_journal_alone_is_typed(tmp_path: Path) -> None:
    script = tmp_path / "orders.py"
    script.write_text(ALONE)
    checked = subprocess.run(
        (sys.executable, "-m", "mypy", "--strict", script),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
