"""One request: what goes in, the wait for its end, what comes out."""

from __future__ import annotations

import ctypes as c
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from berth import _native as n
from berth import _wait
from berth._lease import Lease
from berth.errors import BerthError, LeaseReleased, LeaseRevoked

T = TypeVar("T")


class Work:
    """A request for C, and all that it points to. submit copies it."""

    def __init__(self, options: Iterable[tuple[str, str]]) -> None:
        pairs = [(name.encode(), value.encode()) for name, value in options]
        self._options = (n.Option * len(pairs))(*(n.Option(*pair) for pair in pairs))
        self._keep: object = None
        self.request = n.Request(
            struct_size=c.sizeof(n.Request),
            options=self._options,
            n_options=len(pairs),
            priority=5,
        )

    def _data(self, kind: int, data: bytes) -> Work:
        self._keep = data
        self.request.input.kind = kind
        self.request.input.data = c.cast(c.c_char_p(data), c.c_void_p)
        self.request.input.size = len(data)
        return self

    def with_text(self, text: str) -> Work:
        return self._data(n.INPUT_TEXT, text.encode())

    def with_bytes(self, data: bytes) -> Work:
        return self._data(n.INPUT_BYTES, data)

    def with_samples(self, data: bytes) -> Work:
        """[n] f32, 16 kHz, mono."""
        self._data(n.INPUT_PCM_F32, data)
        self.request.input.sample_rate_hz = 16000
        self.request.input.channels = 1
        return self

    def with_fd(self, fd: int) -> Work:
        self.request.input.kind = n.INPUT_FD
        self.request.input.fd = fd
        return self


class Kept:
    """An item that lives as long as this object: what it points to needs no copy."""

    def __init__(self, pointer: object) -> None:
        self._pointer = pointer
        self._free = n.lib.berth_item_free  # n may be gone when the interpreter ends

    @property
    def item(self) -> n.Item:
        item: n.Item = self._pointer.contents  # type: ignore[attr-defined]
        return item

    def __del__(self) -> None:
        self._free(self._pointer)


def keep(item: n.Item) -> Kept:
    """For a reader that wants the item for longer than its own call."""
    assert isinstance(item.job, Job)
    return item.job.hand_over()


class Job:
    """A request under way. It keeps what C gives until free(), so an interrupt loses nothing."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._handle = c.c_void_p()
        self._item = c.POINTER(n.Item)()

    def out(self) -> object:
        """Where C writes the handle."""
        return c.byref(self._handle)

    def poll(self, ms: int) -> n.Item | None:
        """The final item, valid until free(); None while it is at work."""
        err = n.Error()
        rc = n.lib.berth_job_wait(self._handle, ms, c.byref(self._item), c.byref(err))
        if rc >= 0:
            item: n.Item = self._item.contents
            item.job = self
            return item
        if n.is_code(rc, "ETIMEDOUT") and n.lib.berth_job_state(self._handle) != n.JOB_FAILED:
            return None
        raise self._failure(rc, err)

    def _failure(self, rc: int, err: n.Error) -> BerthError:
        if n.is_code(rc, "ECANCELLED") or n.is_code(rc, "ELOST"):
            if self._lease.revoked():
                return LeaseRevoked("the lease was revoked by a clean-up while the request ran")
            if self._lease.released():
                return LeaseReleased("the model was given back while the request ran")
        return n.exception(rc, err)

    def hand_over(self) -> Kept:
        """The item, from now on somebody else's to free."""
        item, self._item = self._item, c.POINTER(n.Item)()
        return Kept(item)

    def free(self) -> None:
        """Gives it back, cancelling what still runs."""
        handle, self._handle = self._handle, c.c_void_p()
        item, self._item = self._item, c.POINTER(n.Item)()
        n.lib.berth_job_free(handle)
        n.lib.berth_item_free(item)


def run(lease: Lease, work: Work, read: Callable[[n.Item], T]) -> T:
    """Submits, waits, reads. Interrupted (Ctrl-C), it cancels the request."""
    job = lease.submit(work)
    try:
        item = _wait.wait(job.poll, None)
        assert item is not None  # there is no deadline
        return read(item)
    finally:
        job.free()


def run_many(
    lease: Lease, works: Iterable[Work], read: Callable[[n.Item], T], at_once: int
) -> Iterator[T]:
    """Runs several at once and gives results in order; works are asked for when there is room."""
    jobs: deque[Job] = deque()
    left = iter(works)
    try:
        while True:
            for work in itertools.islice(left, at_once - len(jobs)):
                jobs.append(lease.submit(work))
            if not jobs:
                return
            item = _wait.wait(jobs[0].poll, None)
            assert item is not None  # there is no deadline
            result = read(item)
            jobs.popleft().free()
            yield result
    finally:
        for job in jobs:
            job.free()


AT_ONCE = 32  # requests of one run_all under way


def run_all(lease: Lease, works: Iterable[Work], read: Callable[[n.Item], T]) -> list[T]:
    """run() for each, side by side. The first that fails cancels the others."""
    return list(run_many(lease, works, read, AT_ONCE))


async def run_async(lease: Lease, work: Work, read: Callable[[n.Item], T]) -> T:
    """The same for a task; cancelling the task cancels the request."""
    job = lease.submit(work)
    try:
        item = await _wait.wait_async(job.poll, None)
        assert item is not None  # there is no deadline
        return read(item)
    finally:
        job.free()
