"""`with`, `async with` and acquire/release: one thing, which takes nothing before it is entered."""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

from berth import _native as n
from berth import _owner, _wait
from berth._core import Core, core
from berth._lease import Lease, Ticket
from berth._names import Target
from berth.errors import LeaseTimeout, UpgradeError

T = TypeVar("T")


class Wish:
    """What is asked for, before anything is taken."""

    def __init__(
        self,
        find: Callable[[Core], Target],
        exclusive: bool = False,
        max_concurrent: int | None = None,
        timeout: float | None = None,
        owner: int = 0,
        priority: int = 5,
    ) -> None:
        if max_concurrent is not None and max_concurrent < 1:
            raise ValueError(f"max_concurrent is 1 or more, not {max_concurrent!r}")
        if not 0 <= priority <= 9:
            raise ValueError(f"priority is 0 to 9, not {priority!r}")
        _wait.deadline_after(timeout)  # complains now
        self.find = find
        self.exclusive = exclusive
        self.max_concurrent = max_concurrent
        self.timeout = timeout
        self.owner = owner  # 0: whoever enters
        self.priority = priority


class _Attempt:
    """One try to get a lease: from the queue to the grant or away."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.core = core()
        target = wish.find(self.core)
        own = _owner.own(target.family)
        if wish.exclusive:
            _refuse_upgrade(own, target)
        owner = wish.owner or (own[-1].owner if own else _owner.of_thread())
        owner = owner or self.core.new_owner()
        self.hold = _owner.Hold(owner, target.family, target.model, wish.exclusive)
        self.lease = Lease(self.core, self.hold)
        self.deadline = _wait.deadline_after(wish.timeout)
        options = n.AcquireOptions(
            struct_size=c.sizeof(n.AcquireOptions),
            wait_ms=-1,
            tag=b"python",
            mode=int(wish.exclusive),
            max_concurrent=wish.max_concurrent or 0,
            owner=owner,
            priority=wish.priority,
        )
        self.core.enlist(self.hold)
        try:
            self.ticket = Ticket(self.lease, target.native, options)
        except BaseException:
            self.core.delist(self.hold)
            raise

    def sync(self) -> Lease | None:
        granted = self.ticket.poll(0)
        if granted is None and self.wish.timeout != 0:
            self.core.refuse_deadlock(self.hold, self.wish.max_concurrent)
            granted = _wait.wait(self.ticket.poll, self.deadline)
        return granted

    def end(self, granted: Lease | None) -> Lease:
        """After the wait, whatever came of it."""
        self.ticket.free()
        if granted is None:
            self.lease.release()
            return self.lease
        self.hold.granted(granted)
        _owner.push(self.hold)
        return granted

    def timed_out(self) -> LeaseTimeout:
        h, w = self.hold, self.wish
        how = "exclusively" if w.exclusive else "shared"
        return LeaseTimeout(f"{h.model or h.family} was not to be had {how} within {w.timeout} s")


def _refuse_upgrade(own: list[_owner.Hold], target: Target) -> None:
    if any(h.exclusive and h.covers(target.family, target.model) for h in own):
        return
    if any(not h.exclusive and h.overlaps(target.family, target.model) for h in own):
        raise UpgradeError(
            f"exclusive access to {target.model or target.family} was asked for inside shared access "
            "of one's own: leave that first, or ask for exclusive access from the start"
        )


def acquire(wish: Wish) -> Lease:
    """Waits for a lease on the calling thread. LeaseTimeout, UpgradeError, DeadlockError, and why a
    model cannot be loaded."""
    attempt = _Attempt(wish)
    granted = None
    try:
        granted = attempt.sync()
    finally:
        attempt.end(granted)
    if granted is None:
        raise attempt.timed_out()
    return granted


async def acquire_async(wish: Wish) -> Lease:
    """The same for a task."""
    attempt = _Attempt(wish)
    granted = None
    try:
        granted = await _wait.wait_async(attempt.ticket.poll, attempt.deadline)
    finally:
        attempt.end(granted)
    if granted is None:
        raise attempt.timed_out()
    return granted


class Access(Generic[T]):
    """A lease to be: enter it with `with` or `async with`, or call acquire() and release().

    Leaving may happen in another thread, task or context than entering. It may be entered again after it
    was left, not while it is held.
    """

    def __init__(self, wish: Wish, make: Callable[[Lease], T]) -> None:
        self._wish = wish
        self._make = make
        self._lease: Lease | None = None

    def _refuse_twice(self) -> None:
        if self._lease is not None:
            raise RuntimeError("this access is held already: make another one")

    def _give(self, lease: Lease) -> T:
        self._lease = lease
        try:
            return self._make(lease)
        except BaseException:
            self.release()
            raise

    def acquire(self) -> T:
        """Waits for the lease and gives what `with` gives."""
        self._refuse_twice()
        return self._give(acquire(self._wish))

    def release(self) -> None:
        """Gives the lease back. Nothing if it is not held."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    def __enter__(self) -> T:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    async def __aenter__(self) -> T:
        self._refuse_twice()
        return self._give(await acquire_async(self._wish))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
