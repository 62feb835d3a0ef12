"""Many random histories of a journal under living holders, with a count of everything.

`python -m tests.runtime.living_histories --histories 20000 --seed 1` runs them on all cores, prints
the counts, and ends with 1 when any promise was broken, naming the seed that shows it.
"""

import asyncio
import logging
import sys
import traceback
from collections import Counter
from random import Random
from typing import get_args

from tests.journal.campaign import main
from tests.runtime.living_mutations import MUTATIONS
from tests.runtime.living_oracle import Breach, Broken
from tests.runtime.living_story import NAMES, LivingStory
from tests.support.disk import Crash
from tests.support.simulated_loop import SimulatedLoop

BROKEN = (*get_args(Breach), "error")
STEPS_MAX = 40


def run_history(seed: int) -> Counter[str]:
    """One history from its seed; raises `Broken` when a promise does not hold."""
    loop = SimulatedLoop()
    errors: list[BaseException] = []
    loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))
    try:
        story = loop.run_until_complete(_history(seed, loop))
    finally:
        loop.close()
    for error in errors:
        if not isinstance(error, Crash):
            raise error
    return story.tally


async def _history(seed: int, loop: SimulatedLoop) -> LivingStory:
    story, random = LivingStory(seed, loop), Random(seed)
    try:
        await story.start(story.place)
        for name in NAMES:
            story.spawn(name)
        await asyncio.sleep(random.choice((0.1, 0.5)))
        for _ in range(random.randrange(STEPS_MAX)):
            await asyncio.sleep(random.choice((0, 0.1, 0.5)) * random.random())
            await _act(story, random)
            await story.look()
        await story.finish()
    finally:
        await story.close()
    story.tally["histories"] += 1
    return story


async def _act(story: LivingStory, random: Random) -> None:
    what = random.random()
    if story.place.broker is None:
        if what < 0.5:
            await _change_hands(story, random)
        elif what < 0.75 and story.elsewhere is not None:
            story.tally["left_to_the_copy"] += 1
            story.send(random.choice(NAMES))
            await asyncio.sleep(random.random() * 4)
        await story.start(story.place)
    elif what < 0.35:
        for _ in range(random.randrange(1, 4)):
            story.send(random.choice(NAMES))
    elif what < 0.45:
        await asyncio.sleep(random.choice((0.5, 3, 12)) * random.random())
    elif what < 0.6:
        _command(story, random)
    elif what < 0.72:
        _befall(story, random)
    elif what < 0.8:
        await _copy(story, random)
    else:
        await _interrupt(story, random)


def _command(story: LivingStory, random: Random) -> None:
    name = random.choice(NAMES)
    what = random.random()
    if what < 0.45:
        story.spawn(name)
    elif what < 0.6:
        story.hold(name)
    elif what < 0.75:
        story.flush(name)
    elif what < 0.92:
        story.let_flow(name)
    else:
        story.release(name)


def _befall(story: LivingStory, random: Random) -> None:
    """Something happens to a program, or to its holder."""
    every = story.oracle.holders.values()
    living = [each for each in every if each.process.alive and each.is_named]
    if not living:
        return
    holder = random.choice(living)
    what = random.random()
    if what < 0.3:
        story.cut()
    elif what < 0.55:
        holder.end_program(random.choice((0, 1)))
    elif what < 0.75:
        holder.process.kill()
    elif what < 0.87:
        holder.process.stopped = True
    else:
        for each in living:
            each.process.stopped = False


async def _copy(story: LivingStory, random: Random) -> None:
    if random.random() < 0.4:
        story.back_up()
    else:
        await story.copy(then_salvage=random.random() < 0.4)


async def _interrupt(story: LivingStory, random: Random) -> None:
    """The broker ends in one way or another, or a copy of its journal is opened."""
    what = random.random()
    if what < 0.3:
        await story.kill(story.place)
    elif what < 0.5:
        story.place.disk.crash_in(random.randrange(1, 60))
    elif what < 0.7:
        await story.end(story.place, keep_agents=True)
    elif what < 0.75:
        await story.end(story.place, keep_agents=False)
    elif story.elsewhere is not None:
        await story.leave_elsewhere()
    elif story.copies:
        await story.open_elsewhere(random.choice(story.copies[-2:]))


async def _change_hands(story: LivingStory, random: Random) -> None:
    """Before the next start an older journal is put back, or a copy is opened elsewhere."""
    if not story.copies:
        return
    if random.random() < 0.7:
        story.put_back(random.choice(story.copies[-2:]))
    elif story.elsewhere is None:
        await story.open_elsewhere(random.choice(story.copies[-2:]))
        await asyncio.sleep(random.random())
    if random.random() < 0.3:
        story.place.disk.crash_in(random.randrange(1, 60))


def run_seed(seed: int) -> Counter[str]:
    """One history as a count: a broken promise is counted and its seed kept."""
    logging.disable()  # brokers tell operators what the histories do to them
    try:
        return run_history(seed)
    except Broken as broken:
        return Counter({"histories": 1, broken.kind: 1, f"seed {seed}: {broken}"[:400]: 1})
    except (Exception, Crash) as error:
        where = traceback.format_exc(limit=-3)
        return Counter({"histories": 1, "error": 1, f"seed {seed}: {error!r} {where}": 1})


if __name__ == "__main__":
    sys.exit(main("histories of living holders", run_seed, MUTATIONS, BROKEN))
