"""Exclusive access, availability, who is whose."""

from __future__ import annotations

import time

import pytest
from conftest import Holder, Sound, enter, outside, used

import berth


def exclusive(manager, timeout=30.0, name="whisper"):
    return manager.exclusive_model_access(name, timeout=timeout)


def free(manager, n=1, timeout=0.1, name="whisper"):
    return manager.wait_for_model_availability(name, max_concurrent=n, timeout=timeout)


def test_exclusive(manager, pool, sound: Sound):
    outsider = manager.get_whisper_model()
    manager.cleanup_all_models()
    with exclusive(manager):
        assert not manager.get_model_usage_stats()["models_loaded"]["whisper"]  # loads nothing
        inner = manager.get_whisper_model()
        assert sound.words in inner.transcribe(sound.short)["text"]
        assert sound.words in pool.submit(inner.transcribe, sound.short).result(30)["text"]
        assert used(manager) == 1
        with manager.get_whisper_model_safe() as mine:
            assert used(manager) == 2
            mine.transcribe(sound.short)
        enter(exclusive(manager, 1))
        assert not outside(free, manager, 9)
        assert not outside(free, manager, 9, 0.1, "whisper/base")
        before = time.monotonic()
        with pytest.raises(berth.LeaseTimeout):
            outside(enter, exclusive(manager, 0.1))
        assert time.monotonic() - before < 0.5
        f = pool.submit(outsider.transcribe, sound.short)
        time.sleep(0.4)
        assert not f.done()  # it waits
    assert sound.words in f.result(30)["text"]


def test_exclusive_waits_for_shared(manager):
    with manager.get_translation_model_safe("en", "de"):
        with pytest.raises(TimeoutError):
            outside(enter, exclusive(manager, 0.1, "translation"))
        outside(enter, exclusive(manager, 5, "spacy"))


def test_exclusive_of_one_model(manager):
    with exclusive(manager, name="whisper/base"):
        with pytest.raises(TimeoutError):
            outside(enter, manager.get_whisper_model_safe("base", timeout=0.1))
        outside(enter, manager.get_whisper_model_safe("slow", timeout=5))
        with pytest.raises(TimeoutError):
            outside(enter, exclusive(manager, 0.1, "whisper"))


def test_upgrade_is_refused_at_once(manager):
    with manager.get_whisper_model_safe():
        before = time.monotonic()
        with pytest.raises(RuntimeError) as e:
            enter(exclusive(manager))
        assert time.monotonic() - before < 0.1
        assert isinstance(e.value, berth.UpgradeError) and not isinstance(e.value, TimeoutError)
        enter(exclusive(manager, 5, "spacy"))  # of another family
    with exclusive(manager), manager.get_whisper_model_safe():
        enter(exclusive(manager, 1))  # inside one's own exclusive


def test_availability(manager):
    assert free(manager)
    assert not manager.get_model_usage_stats()["models_loaded"]["whisper"]
    with manager.get_whisper_model_safe():
        assert free(manager)  # one's own do not count
        assert not outside(free, manager)
        assert outside(free, manager, 2)
        before = time.monotonic()
        assert not outside(free, manager, 1, 0.3)
        assert 0.25 < time.monotonic() - before < 1
    with pytest.raises(ValueError):
        free(manager, n=0)
    with pytest.raises(ValueError):
        free(manager, timeout=-1)
    with pytest.raises(ValueError):
        free(manager, name="wisper")


def test_availability_sees_a_queued_exclusive(manager, pool):
    with Holder(manager.get_whisper_model_safe()):
        f = pool.submit(enter, exclusive(manager, 5))
        time.sleep(0.1)
        assert not free(manager, 9)
    f.result(5)
    assert free(manager, 1, 5)


def test_availability_wakes_up(manager, pool):
    with Holder(manager.get_whisper_model_safe()):
        f = pool.submit(free, manager, 1, 30)
        time.sleep(0.1)
        assert not f.done()
    assert f.result(2)


def test_exclusive_is_not_starved(manager, pool):
    """Shared leases that come later queue behind it."""
    stop = time.monotonic() + 3

    def busy():
        while time.monotonic() < stop and not got:
            with manager.get_whisper_model_safe():
                time.sleep(0.01)

    got: list[float] = []
    crowd = [pool.submit(busy) for _ in range(8)]
    time.sleep(0.1)
    enter(exclusive(manager, 10))
    got.append(time.monotonic())
    assert got[0] < stop
    for f in crowd:
        f.result(10)


def test_only_one_at_a_time(manager, pool):
    inside: list[int] = []
    most: list[int] = []

    def work(i):
        with exclusive(manager):
            inside.append(i)
            most.append(len(inside))
            time.sleep(0.002)
            inside.remove(i)

    list(pool.map(work, range(64)))
    assert max(most) == 1


def test_bind(manager, pool):
    with exclusive(manager):
        assert not pool.submit(free, manager).result(5)
        assert pool.submit(manager.bind(free), manager).result(5)
        pool.submit(manager.bind(enter), manager.get_whisper_model_safe(timeout=5)).result(6)
