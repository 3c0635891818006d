"""Waiting in slices, so that Ctrl-C and cancellation are heard.

A `poll(ms)` waits up to so many milliseconds and returns None for "not yet". The place in a queue is
kept by what is polled, not by the one who polls: nobody loses his turn between two slices.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from berth._native import milliseconds

T = TypeVar("T")

SLICE_MS = 50
_FIRST_NAP, _LONGEST_NAP = 0.001, 0.02


def deadline_after(timeout: float | None) -> float | None:
    """The end of a time-out in seconds on the monotonic clock; None: no end."""
    if timeout is None:
        return None
    if not timeout >= 0:
        raise ValueError(f"timeout is a number of seconds, 0 or more, or None, not {timeout!r}")
    return time.monotonic() + timeout


def _left_ms(deadline: float | None, most: int) -> int:
    if deadline is None:
        return most
    return max(0, min(most, milliseconds(deadline - time.monotonic())))


def wait(poll: Callable[[int], T | None], deadline: float | None) -> T | None:
    """Blocks this thread until poll has something or the deadline has passed (None)."""
    while True:
        ms = _left_ms(deadline, SLICE_MS)
        found = poll(ms)
        if found is not None or ms == 0:
            return found


async def wait_async(poll: Callable[[int], T | None], deadline: float | None) -> T | None:
    """The same for a task; the event loop goes on meanwhile."""
    nap = _FIRST_NAP
    while True:
        found = poll(0)
        if found is not None or _left_ms(deadline, SLICE_MS) == 0:
            return found
        await asyncio.sleep(nap if deadline is None else min(nap, deadline - time.monotonic()))
        nap = min(2 * nap, _LONGEST_NAP)


def beside(work: Callable[[], T]) -> T:
    """Runs something long that cannot be cut into slices on a thread of its own; Ctrl-C leaves it alone
    to finish there."""
    answer: list[T] = []
    failure: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            answer.append(work())
        except BaseException as e:  # carried over to the waiting thread
            failure.append(e)
        finally:
            done.set()

    threading.Thread(target=run, name="berth-beside", daemon=True).start()
    done.wait()
    if failure:
        raise failure[0]
    return answer[0]
