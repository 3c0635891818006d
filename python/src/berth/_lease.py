"""A granted lease, and the wait for one."""

from __future__ import annotations

import ctypes as c
import os
import sys
import threading
import warnings
from typing import TYPE_CHECKING

from berth import _native as n
from berth import _owner, _spawn
from berth.errors import ForkError, LeaseReleased, LeaseRevoked

if TYPE_CHECKING:
    from berth._core import Core
    from berth._job import Job, Work


class Lease:
    """The right to use a model until release(). Any thread may use and release it.

    C wants no call on a handle beside or after the one that gives it up: submit and release exclude
    each other here. Both are short; a job runs on its own.
    """

    def __init__(self, core: Core, hold: _owner.Hold) -> None:
        self.core = core
        self.hold = hold
        self._handle = c.c_void_p()
        self._lock = threading.Lock()
        self._revoked = False

    def out(self) -> object:
        """Where C writes the handle. It is this object's from that moment: an interrupt between two
        bytecodes loses nothing."""
        return c.byref(self._handle)

    @property
    def model(self) -> str:
        """The full name of the leased model."""
        with self._lock:
            self._check()
            name: bytes = n.lib.berth_lease_model(self._handle)
            return name.decode()

    def revoked(self) -> bool:
        """Whether it was taken away."""
        with self._lock:
            if not self._revoked and self._handle and self.hold.pid == os.getpid():
                self._revoked = bool(n.lib.berth_lease_revoked(self._handle))
            return self._revoked

    def released(self) -> bool:
        """Whether it was given back."""
        return not self._handle

    def _check(self) -> None:
        if self._revoked:
            raise LeaseRevoked("the lease was revoked by a clean-up: take a new one")
        if not self._handle:
            raise LeaseReleased("the model was given back: use it inside its `with` block")

    def check_process(self) -> None:
        """Raises ForkError in a child; takes no lock, since a fork may have copied a held one."""
        if self.hold.pid != os.getpid():
            raise ForkError("this lease was taken before fork(): take a new one in the child")

    def submit(self, work: Work) -> Job:
        """Starts a request. Does not wait."""
        from berth._job import Job

        self.check_process()
        err, job = n.Error(), Job(self)
        with self._lock:
            self._check()
            rc = n.lib.berth_submit(self._handle, c.byref(work.request), job.out(), c.byref(err))
        if rc < 0 and self.revoked():
            raise LeaseRevoked(err.message.decode("utf-8", "replace"))
        n.check(rc, err)
        return job

    def release(self, revoked: bool = False) -> None:
        """Gives it back, cancelling its jobs. Nothing the second time, nothing in a forked child."""
        if self.hold.pid != os.getpid():
            self.hold.live = False
            return
        with self._lock:
            self._revoked = self._revoked or revoked
            if self._handle:
                self._revoked = self._revoked or bool(n.lib.berth_lease_revoked(self._handle))
            handle, self._handle = self._handle, c.c_void_p()
            n.lib.berth_release(handle)
        self.hold.live = False
        self.core.delist(self.hold)
        _owner.prune()

    def __del__(self) -> None:
        # Runs in whatever thread the collector runs in, with whatever locks that thread holds: it may
        # only leave a note. The next call into Berth gives the handle back.
        handle = getattr(self, "_handle", None)
        if not handle or self.hold.pid != os.getpid():
            return
        self.hold.live = False
        self.core.leave(handle, self.hold)
        if not sys.is_finalizing():
            warnings.warn(
                f"a lease on {self.hold.model or self.hold.family} was dropped without being released",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )


class Ticket:
    """A place in the queue for a lease."""

    def __init__(self, lease: Lease, model: str, options: n.AcquireOptions) -> None:
        self._lease = lease
        self._handle = c.c_void_p()
        rc, err = self._start(model, options)
        if n.is_code(rc, "ELOST") and lease.core.spawned:
            with _spawn.daemon():  # it had ended, or died: another one is at the same address
                rc, err = self._start(model, options)
        n.check(rc, err)

    def _start(self, model: str, options: n.AcquireOptions) -> tuple[int, n.Error]:
        err = n.Error()
        rc = n.lib.berth_acquire_start(
            self._lease.core.handle,
            model.encode(),
            c.byref(options),
            c.byref(self._handle),
            c.byref(err),
        )
        return rc, err

    def poll(self, ms: int) -> Lease | None:
        """The lease, None while it has not been granted; raises why it cannot be."""
        self._lease.core.collect()
        err = n.Error()
        rc = n.lib.berth_ticket_wait(self._handle, ms, self._lease.out(), c.byref(err))
        if n.is_code(rc, "ETIMEDOUT"):
            return None
        n.check(rc, err)
        return self._lease

    def free(self) -> None:
        """Leaves the queue."""
        handle, self._handle = self._handle, c.c_void_p()
        n.lib.berth_ticket_free(handle)
