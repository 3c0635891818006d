"""This process's share of libberth: one handle, opened when first needed, made anew after a fork."""

from __future__ import annotations

import atexit
import contextlib
import ctypes as c
import os
import queue
import threading

from berth import _native as n
from berth import _owner, _spawn
from berth._names import FAMILIES, Model, Target, family_of
from berth.errors import BerthError, DeadlockError, NotSupported, UnknownModel


def _open(server: str) -> c.c_void_p:
    err, handle = n.Error(), c.c_void_p()
    config = n.Config(struct_size=c.sizeof(n.Config), server=os.fsencode(server))
    n.check(n.lib.berth_open(c.byref(config), c.byref(handle), c.byref(err)), err)
    return handle


def _usual_sockets() -> list[str]:
    run = os.environ.get("XDG_RUNTIME_DIR", "")
    folders = [run] if run.startswith("/") else []
    return [f"{folder}/berth/berthd.sock" for folder in (*folders, "/run")]


def _find(server: str) -> tuple[bool, c.c_void_p]:
    """Whether a daemon has the models, and the handle."""
    if server == "none":
        return False, _open("none")
    if server == "spawn":
        with _spawn.daemon() as address:
            return True, _open(address)
    if server != "auto":
        return True, _open(server)
    for path in _usual_sockets():
        if os.path.exists(path):
            with contextlib.suppress(BerthError):
                return True, _open(f"unix:{path}")
    return False, _open("none")


class Core:
    """The open handle, the models there are, the leases of this process."""

    def __init__(self) -> None:
        server = os.environ.get("BERTH_SERVER") or "auto"
        self.spawned = server == "spawn"
        self.remote, self.handle = _find(server)
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

    def holds(self) -> list[_owner.Hold]:
        """The leases that this process has."""
        with self._lock:
            return [h for h in self._holds if h.live]

    def new_owner(self) -> int:
        return int(n.lib.berth_owner_new(self.handle))

    # ---- names ----

    def usage(self) -> n.Usage:
        """Who uses what. Starts a daemon of our own again if it has gone."""
        usage = n.Usage(struct_size=c.sizeof(n.Usage))
        rc = n.lib.berth_usage(self.handle, c.byref(usage))
        if n.is_code(rc, "ELOST") and self.spawned:
            with _spawn.daemon():
                rc = n.lib.berth_usage(self.handle, c.byref(usage))
        n.check(rc, n.Error(message=b"the daemon that has the models does not answer"))
        return usage

    def models(self) -> list[Model]:
        """All models there are, in the order of the configuration."""
        self.collect()
        room, there = 16, 0
        while True:
            stats = (n.ModelStats * room)()
            there = int(n.lib.berth_models(self.handle, stats, c.sizeof(n.ModelStats), room))
            if there == 0 and self.remote:
                self.usage()  # complains if that is no answer
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
            if self.remote:
                raise NotSupported(
                    f"{named}: a daemon takes models by name, not by path: name it in the "
                    "configuration"
                )
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
    if _current is not None and not _current.remote:  # a daemon sees the end of this process
        n.lib.berth_cleanup(_current.handle, 0, 0, None, None)


os.register_at_fork(after_in_child=_forget)
atexit.register(_end)
