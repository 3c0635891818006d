"""Where an object gets its lease for a call: bound objects have one, plain ones take one each time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from berth import _native as n
from berth import _owner
from berth._access import Wish, acquire, acquire_async
from berth._core import Core, core
from berth._job import Work, run, run_all, run_async, run_many
from berth._lease import Lease
from berth._names import Target
from berth.errors import LeaseReleased, LeaseRevoked

T = TypeVar("T")
R = TypeVar("R")


class Source(Protocol):
    """Runs requests under a lease."""

    @property
    def model(self) -> str: ...

    def run_all(self, works: Iterable[Work], read: Callable[[n.Item], T]) -> list[T]: ...

    def run(self, work: Work, read: Callable[[n.Item], T]) -> T: ...

    async def run_async(self, work: Work, read: Callable[[n.Item], T]) -> T: ...

    def run_many(
        self, works: Iterable[Work], read: Callable[[n.Item], T], at_once: int
    ) -> Iterator[T]: ...


class Bound:
    """Carries its lease: works from any thread until the lease is released."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    @property
    def model(self) -> str:
        """The full name of its model."""
        return self._lease.model

    def run(self, work: Work, read: Callable[[n.Item], T]) -> T:
        return run(self._lease, work, read)

    def run_all(self, works: Iterable[Work], read: Callable[[n.Item], T]) -> list[T]:
        return run_all(self._lease, works, read)

    async def run_async(self, work: Work, read: Callable[[n.Item], T]) -> T:
        return await run_async(self._lease, work, read)

    def run_many(
        self, works: Iterable[Work], read: Callable[[n.Item], T], at_once: int
    ) -> Iterator[T]:
        return run_many(self._lease, works, read, at_once)


class Plain:
    """Holds nothing: a shared lease round each call, and the model is loaded again if it has gone.

    Made under a lease of its maker's, it works under that one while it lives, from any thread.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        held = [h for h in _owner.own(target.family) if h.covers(target.family, target.model)]
        shared = [h for h in held if not h.exclusive and h.model == target.model]
        under = shared or held
        self._made_under = under[-1] if under else None

    def _wish(self) -> Wish:
        h = self._made_under
        under = h is not None and h.live and not _forked(h)
        return Wish(lambda _: self._target, owner=h.owner if h and under else 0)

    def _lent(self) -> Lease | None:
        """The shared lease that it was made under, while it lives."""
        h = self._made_under
        if h is None or h.exclusive or not h.live or _forked(h):
            return None
        return h.lease

    @property
    def model(self) -> str:
        """The full name of its model."""
        return self._target.model or self._target.native

    def _under_lease(self, call: Callable[[Lease], R]) -> R:
        lent = self._lent()
        if lent is not None:
            try:
                return call(lent)
            except LeaseRevoked:
                raise
            except LeaseReleased:
                pass  # its block ended meanwhile; this object goes on without
        lease = acquire(self._wish())
        try:
            return call(lease)
        finally:
            lease.release()

    def run(self, work: Work, read: Callable[[n.Item], T]) -> T:
        return self._under_lease(lambda lease: run(lease, work, read))

    def run_all(self, works: Iterable[Work], read: Callable[[n.Item], T]) -> list[T]:
        works = list(works)
        return self._under_lease(lambda lease: run_all(lease, works, read))

    async def run_async(self, work: Work, read: Callable[[n.Item], T]) -> T:
        lent = self._lent()
        if lent is not None:
            try:
                return await run_async(lent, work, read)
            except LeaseRevoked:
                raise
            except LeaseReleased:
                pass
        lease = await acquire_async(self._wish())
        try:
            return await run_async(lease, work, read)
        finally:
            lease.release()

    def run_many(
        self, works: Iterable[Work], read: Callable[[n.Item], T], at_once: int
    ) -> Iterator[T]:
        """Under one lease from the first result to the last."""
        lent = self._lent()
        lease = lent or acquire(self._wish())
        try:
            yield from run_many(lease, works, read, at_once)
        finally:
            if lent is None:
                lease.release()


def _forked(hold: _owner.Hold) -> bool:
    return hold.pid != os.getpid()


def engine_of(model: str) -> str:
    """What runs the model of this name, which has been loaded."""
    opened: Core = core()
    found = opened.find(model)
    return found.engine if found else model.partition("/")[0]
