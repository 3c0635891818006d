"""Who holds what: the leases that the current context has taken.

A context (contextvars) is what asyncio gives every task and what a thread has of its own. Children of a
task begin with a copy of it, so they share their parent's leases; threads and sibling tasks do not.
Leases may end in another context than they began in: their entries are dead then, and are skipped.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from berth._lease import Lease

R = TypeVar("R")


class Hold:
    """One lease, or one wait for a lease, as contexts remember it. Keeps no lease alive."""

    __slots__ = ("owner", "family", "model", "exclusive", "loop", "thread", "pid", "live", "_lease")

    def __init__(self, owner: int, family: str, model: str | None, exclusive: bool) -> None:
        self.owner = owner
        self.family = family
        self.model = model  # None: the whole family
        self.exclusive = exclusive
        self.loop = running_loop()
        self.thread = threading.get_ident()
        self.pid = os.getpid()
        self.live = False
        self._lease: weakref.ref[Lease] | None = None

    def granted(self, lease: Lease) -> None:
        self._lease = weakref.ref(lease)
        self.live = True

    @property
    def lease(self) -> Lease | None:
        return self._lease() if self._lease else None

    def covers(self, family: str, model: str | None) -> bool:
        """Whether all that is asked for is part of what is held."""
        return self.family == family and self.model in (None, model)

    def overlaps(self, family: str, model: str | None) -> bool:
        return self.family == family and (
            self.model is None or model is None or self.model == model
        )


_held: contextvars.ContextVar[tuple[Hold, ...]] = contextvars.ContextVar("berth_held", default=())


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread now."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def own(family: str | None = None) -> list[Hold]:
    """The live leases of this context, on one family or on all, the newest last."""
    pid = os.getpid()
    return [
        h for h in _held.get() if h.live and h.pid == pid and (family is None or h.family == family)
    ]


def of_thread() -> int:
    """The owner of what this thread has taken itself, outside of any event loop; 0: none. While it waits
    it lets nothing go, so libberth can tell a ring of such threads."""
    if running_loop() is not None:
        return 0
    mine = [h.owner for h in own() if h.loop is None and h.thread == threading.get_ident()]
    return mine[-1] if mine else 0


def push(hold: Hold) -> None:
    """The context has a new lease."""
    _held.set((*own(), hold))


def prune() -> None:
    """Forgets what has ended, if this context knew of it."""
    held = _held.get()
    if not all(h.live for h in held):
        _held.set(tuple(h for h in held if h.live))


def bind(fn: Callable[..., R]) -> Callable[..., R]:
    """fn with the leases of the context that bind() is called in, for executors and threads."""
    held = tuple(own())

    def bound(*args: object, **kwargs: object) -> R:
        def run() -> R:
            _held.set(held)
            return fn(*args, **kwargs)

        return contextvars.copy_context().run(run)

    return bound
