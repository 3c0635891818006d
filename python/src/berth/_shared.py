"""Cleaning up where a daemon has the models: what this process holds, and what nobody else uses."""

from __future__ import annotations

import ctypes as c
import time
from dataclasses import dataclass

from berth import _native as n
from berth import _owner
from berth._core import Core

_NAP_S = 0.01
_UNLOAD_MS = 5000
_READY = 2


@dataclass(frozen=True)
class CleanupReport:
    """What cleanup_all_models() did."""

    models_unloaded: int
    leases_waited_for: int
    leases_revoked: int
    bytes_before: int
    bytes_after: int
    forced: bool


def _stats(core: Core) -> list[n.ModelStats]:
    room = len(core.models()) + 16
    stats = (n.ModelStats * room)()
    there = int(n.lib.berth_models(core.handle, stats, c.sizeof(n.ModelStats), room))
    return list(stats[: min(there, room)])


def _bytes(stats: list[n.ModelStats]) -> int:
    return sum(int(s.weights_bytes + s.workspace_bytes + s.session_bytes) for s in stats)


def _wait_for(holds: list[_owner.Hold], deadline: float | None) -> None:
    while any(h.live for h in holds):
        if deadline is not None and time.monotonic() >= deadline:
            return
        time.sleep(_NAP_S)


def _revoke(holds: list[_owner.Hold]) -> int:
    revoked = 0
    for hold in holds:
        lease = hold.lease
        if hold.live and lease is not None:
            lease.release(revoked=True)
            revoked += 1
    return revoked


def clean_up(core: Core, deadline: float | None) -> CleanupReport:
    """Waits for the leases of this process, revokes them, unloads."""
    before = _bytes(_stats(core))
    holds = core.holds()
    _wait_for(holds, deadline)
    revoked = _revoke(holds)
    unloaded = 0
    for s in _stats(core):
        if s.state == _READY and s.leases == 0 and s.waiting == 0:
            rc = n.lib.berth_unload(core.handle, s.name, _UNLOAD_MS, None)
            unloaded += rc >= 0
    return CleanupReport(
        unloaded, len(holds), revoked, before, _bytes(_stats(core)), forced=revoked > 0
    )
