"""Priorities, rings of waiting threads, models out of use."""

from __future__ import annotations

import threading
import time

import pytest
from conftest import Holder, enter, eventually, outside

import berth
from berth._core import core


def test_a_ring_of_threads_is_refused(manager):
    """Each holds what the other wants, of two families."""
    both, refused = threading.Barrier(2), []

    def work(first: str, second: str) -> None:
        with manager.exclusive_model_access(first):
            both.wait()
            try:
                with manager.exclusive_model_access(second, timeout=20):
                    pass
            except berth.DeadlockError as e:
                refused.append(e)

    threads = [
        threading.Thread(target=work, args=pair)
        for pair in (("whisper", "spacy"), ("spacy", "whisper"))
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(refused) == 1
    assert refused[0].code == "EDEADLOCK"
    assert "wait for ever" in str(refused[0])


def _waiting() -> int:
    return sum(not h.live for h in core()._holds)


def test_priorities(manager):
    """The last to come goes first, for he comes 40 s earlier."""
    order: list[int] = []

    def take(priority: int) -> None:
        with manager.exclusive_model_access("whisper", priority=priority):
            order.append(priority)

    threads = [threading.Thread(target=take, args=(priority,)) for priority in (0, 5, 9)]
    with Holder(manager.exclusive_model_access("whisper")):
        for t in threads:
            t.start()
        eventually(lambda: _waiting() == len(threads))
        time.sleep(0.1)
    for t in threads:
        t.join()
    assert order == [9, 5, 0]
    with pytest.raises(ValueError, match="priority"):
        manager.get_spacy_model_safe(priority=10)


def test_disabled(manager):
    with manager.get_whisper_model_safe("base"):
        manager.disable_model("whisper/base")
        with pytest.raises(berth.ModelDisabled, match="is disabled"):
            outside(enter, manager.get_whisper_model_safe("base"))
        with manager.get_whisper_model_safe("base"):  # who holds it may go deeper
            pass
    with pytest.raises(berth.ModelDisabled):
        enter(manager.get_whisper_model_safe("base"))
    manager.enable_model("my-base")
    enter(manager.get_whisper_model_safe("base"))
    with pytest.raises(berth.UnknownModel):
        manager.disable_model("whisper")
