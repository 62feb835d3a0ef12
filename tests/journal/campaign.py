"""Many random histories of crashes and faults, with a count of everything that happened.

`python -m tests.journal.campaign --histories 20000 --seed 1` runs them on all cores, prints the
counts, and ends with 1 when any promise was broken, naming the seed that shows it.
"""

import argparse
import errno
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

from tests.journal.mishaps import restore_backup, rot
from tests.journal.mutations import MUTATIONS, Patch
from tests.journal.promises import Broken
from tests.journal.story import RETENTIONS, Story
from tests.support.disk import Crash, CrashKind

BROKEN = ("lost", "phantom", "false_corrupt", "early", "silent", "error")
RunSeed = Callable[[int], Counter[str]]
Mutation = Callable[[Patch], None]
LIVES_MAX = 6
BATCHES_MAX = 12


def run_history(seed: int, make: Callable[[int], Story] = Story) -> Counter[str]:
    """One history from its seed; raises `Broken` when a promise does not hold."""
    story = make(seed)
    random = Random(seed)
    story.disk.short_writes = random.random() < 0.3
    for _ in range(random.randrange(1, LIVES_MAX + 1)):
        _live(story, random)
    story.finish()
    story.tally["histories"] += 1
    return story.tally


def run_seed(seed: int) -> Counter[str]:
    """One history as a count: a broken promise is counted and its seed kept."""
    try:
        return run_history(seed)
    except Broken as broken:
        return Counter({"histories": 1, broken.kind: 1, f"seed {seed}: {broken}"[:400]: 1})
    except (Exception, Crash) as error:
        where = traceback.format_exc(limit=-3)
        return Counter({"histories": 1, "error": 1, f"seed {seed}: {error!r} {where}": 1})


def run_campaign(
    seeds: Iterable[int],
    processes: int,
    run: RunSeed = run_seed,
    mutation: Mutation | None = None,
) -> Counter[str]:
    """All of them, on that many processes, where `mutation` breaks something on purpose."""
    total: Counter[str] = Counter()
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, initializer=_mutate, initargs=(mutation,)) as pool:
        for tally in pool.imap_unordered(run, seeds, chunksize=50):
            total.update(tally)
    return total


def _mutate(mutation: Mutation | None) -> None:
    if mutation is not None:
        mutation(setattr)


def _live(story: Story, random: Random) -> None:
    """From one start to the next end, which is mostly a violent one."""
    plan_fault(story, random)
    kind: CrashKind = random.choice(("process", "power"))
    if not story.open():
        if story.disk.crashed or random.random() < 0.5:
            story.crash(kind)
        return
    for _ in range(random.randrange(BATCHES_MAX)):
        _act(story, random)
        if story.log is None:
            break
    ending = random.random()
    if story.log is not None and ending < 0.3:
        story.close()
    if story.log is not None or story.disk.crashed or ending > 0.8:
        story.crash(kind)
        if kind == "process" and not story.tally["poisoned"] and random.random() < 0.3:
            rot(story)
    elif not story.tally["poisoned"]:
        if random.random() < 0.2:
            rot(story)
        if random.random() < 0.6:
            restore_backup(story)


def _act(story: Story, random: Random) -> None:
    what = random.random()
    if what < 0.08:
        story.look()
    elif what < 0.14:
        story.clock.jump(random.randrange(-(10**10), 10**10))
    elif what < 0.2:
        used = story.disk.used()
        story.disk.capacity = None if random.random() < 0.5 else used + random.randrange(4000)
    elif what < 0.25 and story.log is not None:
        story.sync_head()
    elif what < 0.33:
        story.snapshot()
    elif what < 0.41:
        story.compact(random.choice(RETENTIONS), wholly=random.random() < 0.5)
    else:
        sizes = [random.randrange(200) for _ in range(random.randrange(1, 6))]
        beside = random.random() < 0.5
        for step in (lambda: story.append(sizes, reserve=random.random() < 0.2), story.commit):
            if beside and story.log is not None:
                story.begin_preallocation()
            if story.log is not None:
                step()


def plan_fault(story: Story, random: Random) -> None:
    """Nothing, a crash, or a disk error, some calls from now."""
    calls = random.randrange(1, random.choice((10, 40, 120)))
    what = random.random()
    story.disk.clear_faults()
    if what < 0.55:
        story.disk.crash_in(calls)
    elif what < 0.7:
        story.tally["planned_io_errors"] += 1
        story.disk.fail_in(calls, errno.EIO)
    elif what < 0.75:
        story.tally["planned_no_space"] += 1
        story.disk.fail_in(calls, errno.ENOSPC)


def main(
    description: str,
    run: RunSeed,
    mutations: Mapping[str, Mutation],
    broken: Sequence[str],
    arguments: list[str] | None = None,
) -> int:
    """The command of a campaign; see the head of this module. `broken` are the counts that have to
    be 0."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--histories", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first history")
    parser.add_argument("--mutation", choices=sorted(mutations), help="break the protocol first")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    started = time.monotonic()
    seeds = range(options.seed, options.seed + options.histories)
    mutation = None if options.mutation is None else mutations[options.mutation]
    tally = run_campaign(seeds, options.processes, run, mutation)
    for name in broken:
        tally.setdefault(name, 0)
    for name, count in sorted(tally.items(), key=lambda item: (item[0].startswith("seed"), item)):
        print(name if name.startswith("seed") else f"{name:24} {count:>9}")
    print(f"{'seconds':24} {time.monotonic() - started:>9.0f}")
    return 1 if any(tally[name] for name in broken) else 0


if __name__ == "__main__":
    sys.exit(main("crash histories on a simulated disk", run_seed, MUTATIONS, BROKEN))
