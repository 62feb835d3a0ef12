"""A list of things to do, kept in a journal: `todo.py add TEXT`, `todo.py done N`, `todo.py`.

The journal alone, without a broker. What is told is on the disk; the list is folded from it at each
start, from the newest snapshot on. Run it, kill it, look into `todo/` with `less`.
"""

from __future__ import annotations

import sys

from ackbook.journal import Journal, Record, open_journal

SNAPSHOT_EVERY = 100


def fold(tasks: dict[str, str], record: Record) -> None:
    """Change the list by one record; a task is called by its position, which is never reused."""
    match record.kind:
        case "task.added":
            tasks[str(record.seq)] = record.load(dict[str, str])["text"]
        case "task.done":
            tasks.pop(record.load(dict[str, str])["task"], None)


def read(journal: Journal) -> dict[str, str]:
    """All that is to do, by position."""
    state = journal.state()
    tasks = state.load(dict[str, str]) or {}
    for record in journal.read(after=state.seq):
        fold(tasks, record)
    return tasks


def main(words: list[str]) -> int:
    """0: done. 1: there is no such task. 2: wrong usage."""
    with open_journal("todo") as journal:
        tasks = read(journal)
        match words:
            case []:
                print("\n".join(f"{task}  {text}" for task, text in tasks.items()))
            case ["add", text]:
                seq = journal.append("task.added", {"text": text})  # on the disk when this returns
                tasks[str(seq)] = text
                print(seq)
                if seq % SNAPSHOT_EVERY == 0:
                    journal.snapshot(tasks, through=seq)
            case ["done", task]:
                if task not in tasks:
                    return 1
                journal.append("task.done", {"task": task})
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
