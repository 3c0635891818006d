"""asyncio, generators, other threads: where a lease is left is not always where it was entered."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest
from conftest import Holder, Sound, eventually, outside, used

import berth


def test_an_abandoned_generator(manager):
    def gen():
        with manager.get_whisper_model_safe() as m:
            yield m

    g = gen()
    next(g)
    del g
    gc.collect()
    assert used(manager) == 0


def test_a_generator_of_many_threads(manager):
    def gen():
        with manager.get_whisper_model_safe() as m:
            yield m

    g = gen()
    m = outside(next, g)
    assert outside(m.transcribe, b"hallo")["text"] == "hallo"
    outside(g.close)
    assert used(manager) == 0


def test_dropped_without_release(manager):
    access = manager.get_whisper_model_safe()
    access.acquire()
    assert used(manager) == 1
    with pytest.warns(ResourceWarning, match="without being released"):
        del access
        gc.collect()
    assert used(manager) == 0
    with manager.exclusive_model_access("whisper", timeout=1):  # it is nobody's own any more
        pass


def test_sibling_tasks_exclude_each_other(manager):
    order = []

    async def hold():
        async with manager.exclusive_model_access("whisper"):
            order.append(1)
            await asyncio.sleep(0.1)
            order.append(-1)

    async def both():
        await asyncio.gather(hold(), hold())

    asyncio.run(both())
    assert order == [1, -1, 1, -1]


def test_sibling_tasks_under_another_family(manager):
    """What their parent holds of another family does not make them one."""
    order = []

    async def hold():
        async with manager.exclusive_model_access("whisper"):
            order.append(1)
            await asyncio.sleep(0.05)
            order.append(-1)

    async def both():
        async with manager.get_spacy_model_safe():
            await asyncio.gather(hold(), hold())

    asyncio.run(both())
    assert order == [1, -1, 1, -1]


def test_children_share(manager):
    model = manager.get_whisper_model()

    async def main():
        async with manager.exclusive_model_access("whisper"):
            await asyncio.wait_for(asyncio.to_thread(model.transcribe, b"a"), 5)
            await asyncio.wait_for(asyncio.create_task(model.transcribe_async(b"b")), 5)

    asyncio.run(main())


def test_the_loop_goes_on(manager, sound: Sound):
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async def main():
        t = asyncio.create_task(tick())
        async with manager.get_whisper_model_safe() as model:
            results = await asyncio.gather(*(model.transcribe_async(sound.short) for _ in range(2)))
        t.cancel()
        return results

    assert all(sound.words in r["text"] for r in asyncio.run(main()))
    assert ticks >= 5


def test_cancelling_a_task_cancels_the_request(manager, sound: Sound):
    async def main():
        async with manager.get_whisper_model_safe() as model:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(model.transcribe_async(sound.long), 0.3)
            return await model.transcribe_async(sound.short)

    before = time.monotonic()
    assert sound.words in asyncio.run(main())["text"]
    assert time.monotonic() - before < 20


def test_cancelling_a_wait_leaves_the_queue(manager):
    async def wait():
        async with manager.exclusive_model_access("whisper"):
            raise AssertionError("granted beside another's lease")

    async def limited():
        await asyncio.wait_for(wait(), 0.2)

    with Holder(manager.get_whisper_model_safe()):
        with pytest.raises(asyncio.TimeoutError):
            asyncio.run(limited())
        assert manager.wait_for_model_availability("whisper", max_concurrent=2, timeout=0.1)


def test_async_timeout(manager):
    async def main():
        async with manager.exclusive_model_access("whisper", timeout=0.1):
            pass

    with Holder(manager.get_whisper_model_safe()), pytest.raises(berth.LeaseTimeout):
        asyncio.run(main())


def test_blocking_ones_own_loop_is_refused(manager):
    async def holder(inside, leave):
        async with manager.exclusive_model_access("whisper"):
            inside.set()
            await leave.wait()

    async def main():
        inside, leave = asyncio.Event(), asyncio.Event()
        t = asyncio.create_task(holder(inside, leave))
        await inside.wait()
        with pytest.raises(berth.DeadlockError), manager.get_whisper_model_safe():
            pass
        with pytest.raises(berth.DeadlockError), manager.exclusive_model_access("whisper"):
            pass
        with manager.get_spacy_model_safe():  # nobody's in the way
            pass
        leave.set()
        await t
        with manager.get_whisper_model_safe():
            pass

    asyncio.run(main())


def test_blocking_behind_a_waiter_of_ones_own_loop_is_refused(manager):
    async def waiter():
        async with manager.exclusive_model_access("whisper"):
            pass

    async def main():
        t = asyncio.create_task(waiter())
        await asyncio.sleep(0.05)
        with pytest.raises(berth.DeadlockError), manager.get_whisper_model_safe():
            pass
        return t

    async def all_of_it(holder):
        t = await main()
        holder.__exit__()
        await t

    with Holder(manager.get_whisper_model_safe()) as h:
        asyncio.run(all_of_it(h))


def test_max_concurrent_among_tasks(manager):
    running, most = 0, 0

    async def one():
        nonlocal running, most
        async with manager.get_whisper_model_safe(max_concurrent=2) as model:
            running += 1
            most = max(most, running)
            await model.transcribe_async(b"toy:sleep=0.05")
            running -= 1

    async def all_of_them():
        await asyncio.gather(*(one() for _ in range(8)))

    asyncio.run(all_of_them())
    assert most == 2


def test_implicit_leases_of_a_plain_object_in_tasks(manager):
    model = manager.get_whisper_model()

    async def main():
        f = asyncio.create_task(model.transcribe_async(b"toy:sleep=0.3"))
        await asyncio.sleep(0.1)
        assert used(manager) == 1
        await f

    asyncio.run(main())
    eventually(lambda: used(manager) == 0)
