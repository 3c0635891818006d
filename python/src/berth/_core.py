"""This process's share of libberth: one handle, opened when first needed, made anew after a fork."""

from __future__ import annotations

import atexit
import ctypes as c
import os
import queue
import threading

from berth import _native as n
from berth import _owner
from berth._names import FAMILIES, Model, Target, family_of
from berth.errors import DeadlockError, NotSupported, UnknownModel


class Core:
    """The open handle, the models there are, the leases of this process."""

    def __init__(self) -> None:
        server = os.environ.get("BERTH_SERVER") or "auto"
        if server not in ("auto", "none"):
            raise NotSupported(f"BERTH_SERVER={server}: leases of a daemon are not built yet")
        err, handle = n.Error(), c.c_void_p()
        config = n.Config(struct_size=c.sizeof(n.Config), server=b"none")
        n.check(n.lib.berth_open(c.byref(config), c.byref(handle), c.byref(err)), err)
        self.handle = handle
        self._dropped: queue.SimpleQueue[tuple[c.c_void_p, _owner.Hold]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._holds: set[_owner.Hold] = set()  # granted and waiting
        self._models: list[Model] = []

    # ---- leases that nobody released ----

    def leave(self, handle: c.c_void_p, hold: _owner.Hold) -> None:
        """For finalisers: takes no lock that anyone could hold."""
        self._dropped.put((handle, hold))

    def collect(self) -> None:
        """Gives back what finalisers have left. Every call into Berth begins with it."""
        while not self._dropped.empty():
            try:
                handle, hold = self._dropped.get_nowait()
            except queue.Empty:
                return
            n.lib.berth_release(handle)
            self.delist(hold)

    # ---- who holds and who waits ----

    def enlist(self, hold: _owner.Hold) -> None:
        with self._lock:
            self._holds.add(hold)

    def delist(self, hold: _owner.Hold) -> None:
        with self._lock:
            self._holds.discard(hold)

    def refuse_deadlock(self, hold: _owner.Hold, limit: int | None) -> None:
        """Raises DeadlockError if blocking this thread would stop the event loop that a holder, or
        someone earlier in the queue, needs to go on. `limit`: max_concurrent, if given."""
        if hold.loop is None:
            return
        with self._lock:
            others = [
                h
                for h in self._holds
                if h.loop is hold.loop
                and h.owner != hold.owner
                and h.overlaps(hold.family, hold.model)
            ]
        full = limit is not None and sum(h.live for h in others) >= limit
        if full or any(h.exclusive or hold.exclusive for h in others):
            raise DeadlockError(
                f"waiting here for {hold.model or hold.family} would stop the event loop that its "
                "holder runs on: use `async with`"
            )

    def new_owner(self) -> int:
        return int(n.lib.berth_owner_new(self.handle))

    # ---- names ----

    def models(self) -> list[Model]:
        """All models there are, in the order of the configuration."""
        self.collect()
        room = 16
        while True:
            stats = (n.ModelStats * room)()
            there = int(n.lib.berth_models(self.handle, stats, c.sizeof(n.ModelStats), room))
            if there <= room:
                break
            room = there
        self._models = [
            Model(
                s.name.decode(),
                s.alias.decode(),
                family_of(s.family.decode()),
                s.path.decode("utf-8", "surrogateescape"),
                s.engine.decode(),
            )
            for s in stats[:there]
        ]
        return self._models

    def find(self, name: str) -> Model | None:
        """The model of this name, alias or path."""
        for models in (self._models, None):  # entries never change, but there may be new ones
            for model in self.models() if models is None else models:
                if model.called(name):
                    return model
        return None

    def target(self, name: str) -> Target:
        """A family or a model by any of its names."""
        if name in FAMILIES:
            if not any(m.family == name for m in self.models()):
                raise UnknownModel(f"no model of the family {name} is configured; {self._there()}")
            return Target(name, None)
        model = self.find(name)
        if model is None:
            raise UnknownModel(f"{name}: no such model or family; {self._there()}")
        return Target(model.family, model.name)

    def model_of(self, family: str, name: str | None) -> Target:
        """The model that a getter of this family means; None: the default one."""
        named = name or os.environ.get(f"BERTH_{family.upper()}_MODEL")
        if not named:
            for model in self.models():
                if model.family == family:
                    return Target(family, model.name)
            raise UnknownModel(
                f"no model of the family {family} is configured: name one in the file that "
                f"BERTH_CONFIG names, or a path in BERTH_{family.upper()}_MODEL; {self._there()}"
            )
        found = self.find(named) or self.find(f"{FAMILIES[family]}/{named}")
        if found is not None:
            if found.family != family:
                raise UnknownModel(f"{named} is a model of the family {found.family}, not {family}")
            return Target(family, found.name)
        if os.path.exists(named):
            return Target(family, named)
        raise UnknownModel(f"{named}: no such model or path; {self._there()}")

    def _there(self) -> str:
        names = [m.name for m in self.models()]
        return "there is " + (", ".join(names) if names else "none")


_current: Core | None = None
_opening = threading.Lock()


def core() -> Core:
    """The one of this process; opened by the first call."""
    global _current
    found = _current
    if found is None:
        with _opening:
            if _current is None:
                _current = Core()
            found = _current
    found.collect()
    return found


def _forget() -> None:
    """In a forked child: the parent's threads are not here, its locks may be held for ever."""
    global _current, _opening
    _current = None
    _opening = threading.Lock()


def _end() -> None:
    """Work still under way in daemon threads ends before the interpreter does."""
    if _current is not None:
        n.lib.berth_cleanup(_current.handle, 0, 0, None, None)


os.register_at_fork(after_in_child=_forget)
atexit.register(_end)
