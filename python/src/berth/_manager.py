"""The ModelManager that callers know."""

from __future__ import annotations

import ctypes as c
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from berth import _native as n
from berth import _owner, _shared, _wait
from berth._access import Access, Wish, acquire
from berth._core import Core, core
from berth._lease import Lease
from berth._marian import MarianModel, MarianTokenizer
from berth._names import FAMILIES, family_of
from berth._shared import CleanupReport
from berth._source import Bound, Plain, Source, engine_of
from berth._spacy import Language
from berth._toy import ToyLanguage, ToyTokenizer, ToyTranslator
from berth._whisper import WhisperModel
from berth.errors import NotSupported, UnknownModel

T = TypeVar("T")
R = TypeVar("R")
_log = logging.getLogger("berth")


class TrimReport(NamedTuple):
    """Bytes of device memory in use before and after cleanup_cuda_memory()."""

    bytes_before: int
    bytes_after: int


def _whisper(source: Source, engine: str) -> WhisperModel:
    return WhisperModel(source, engine)


def _translation(source: Source, engine: str) -> tuple[Any, Any]:
    if engine == "toy":
        return ToyTranslator(source), ToyTokenizer()
    tokenizer = MarianTokenizer(source)
    return MarianModel(source, tokenizer), tokenizer


def _spacy(source: Source, engine: str) -> Any:
    return ToyLanguage(source) if engine == "toy" else Language(source)


def _toy_only(family: str, engine: str) -> None:
    if engine != "toy":
        raise NotSupported(f"{family} on the engine {engine} is not built yet")


def _clean_all(opened: Core, timeout: float | None) -> CleanupReport:
    ms = -1 if timeout is None else n.milliseconds(timeout)
    report, err = n.CleanupReport(struct_size=c.sizeof(n.CleanupReport)), n.Error()
    rc = _wait.beside(
        lambda: n.lib.berth_cleanup(opened.handle, 0, ms, c.byref(report), c.byref(err))
    )
    n.check(rc, err)
    return CleanupReport(
        int(report.models_unloaded),
        int(report.leases_waited_for),
        int(report.leases_revoked),
        int(report.bytes_before),
        int(report.bytes_after),
        bool(report.forced),
    )


class ModelManager:
    """Shares models between all threads and tasks of this process, and with other processes where a
    daemon has them (BERTH_SERVER).

    There is one a process: ModelManager() is get_model_manager(). Making it opens nothing; models are
    loaded when they are first needed. All methods may be called from any thread.

    `name` is a family ("whisper", "translation", "spacy"), a model ("whisper/base") or an alias. Time-outs
    are seconds, None waits without limit, and raise LeaseTimeout, a TimeoutError.
    """

    _one: ModelManager | None = None
    _making = threading.Lock()

    def __new__(cls) -> ModelManager:
        with cls._making:
            if ModelManager._one is None:
                ModelManager._one = super().__new__(cls)
            return ModelManager._one

    # ---- objects that carry a lease ----

    def get_whisper_model_safe(
        self,
        name: str | None = None,
        *,
        max_concurrent: int | None = None,
        timeout: float | None = None,
        priority: int = 5,
    ) -> Access[WhisperModel]:
        """`with ... as model:` a Whisper model under a shared lease. Without a name, the default one:
        BERTH_WHISPER_MODEL, else the first of the configuration. With max_concurrent it waits until
        fewer than so many others hold a lease on it, and takes its own in the same step. Each priority
        above 5 (to 9) counts as having come 10 s earlier, each below (to 0) as 10 s later; above 5 is
        for a daemon's own user."""
        return self._safe("whisper", name, _whisper, max_concurrent, timeout, priority)

    def get_translation_model_safe(
        self,
        source: str,
        target: str,
        *,
        max_concurrent: int | None = None,
        timeout: float | None = None,
        priority: int = 5,
    ) -> Access[tuple[Any, Any]]:
        """`with ... as (model, tokenizer):` the model from one language to another."""
        return self._safe(
            "translation", f"{source}-{target}", _translation, max_concurrent, timeout, priority
        )

    def get_spacy_model_safe(
        self,
        name: str | None = None,
        *,
        max_concurrent: int | None = None,
        timeout: float | None = None,
        priority: int = 5,
    ) -> Access[Any]:
        """`with ... as nlp:` a pipeline."""
        return self._safe("spacy", name, _spacy, max_concurrent, timeout, priority)

    def _safe(
        self,
        family: str,
        name: str | None,
        make: Callable[[Source, str], T],
        max_concurrent: int | None,
        timeout: float | None,
        priority: int,
    ) -> Access[T]:
        wish = Wish(
            lambda opened: opened.model_of(family, name),
            max_concurrent=max_concurrent,
            timeout=timeout,
            priority=priority,
        )
        return Access(wish, lambda lease: make(Bound(lease), engine_of(lease.model)))

    # ---- objects that hold nothing ----

    def get_whisper_model(
        self, name: str | None = None, *, timeout: float | None = None
    ) -> WhisperModel:
        """Loads the model and gives an object that holds nothing: each call takes a lease of its own,
        and loads the model again if it was unloaded meanwhile."""
        return self._plain("whisper", name, _whisper, timeout)

    def get_translation_model(
        self, source: str, target: str, *, timeout: float | None = None
    ) -> tuple[Any, Any]:
        """As get_whisper_model, for translation: (model, tokenizer)."""
        return self._plain("translation", f"{source}-{target}", _translation, timeout)

    def get_spacy_model(self, name: str | None = None, *, timeout: float | None = None) -> Any:
        """As get_whisper_model, for spaCy."""
        return self._plain("spacy", name, _spacy, timeout)

    def _plain(
        self,
        family: str,
        name: str | None,
        make: Callable[[Source, str], T],
        timeout: float | None,
    ) -> T:
        target = core().model_of(family, name)
        lease = acquire(Wish(lambda _: target, timeout=timeout))  # loads it
        try:
            engine = engine_of(lease.model)
        finally:
            lease.release()
        return make(Plain(target), engine)

    # ---- access ----

    def exclusive_model_access(
        self, name: str, timeout: float | None = None, *, priority: int = 5
    ) -> Access[Lease]:
        """`with ...:` nobody else holds or gets a lease on the model, or on any of the family. Loads
        nothing by itself. Inside it the caller may take shared and exclusive leases as he likes;
        inside a shared lease of his own it raises UpgradeError."""
        wish = Wish(
            lambda opened: opened.target(name), exclusive=True, timeout=timeout, priority=priority
        )
        return Access(wish, lambda lease: lease)

    def wait_for_model_availability(
        self, name: str, max_concurrent: int = 1, timeout: float | None = 30.0
    ) -> bool:
        """Waits until fewer than max_concurrent others hold a lease and nobody holds or waits for
        exclusive access. Loads nothing; the caller's own leases do not count. False: not in time.
        True is a hint, old when it arrives; get_whisper_model_safe(max_concurrent=1) acts on it."""
        if max_concurrent < 1:
            raise ValueError(f"max_concurrent is 1 or more, not {max_concurrent!r}")
        deadline = _wait.deadline_after(timeout)
        opened = core()
        target = opened.target(name)
        own = _owner.own(target.family)
        owner = own[-1].owner if own else 0

        def poll(ms: int) -> bool | None:
            opened.collect()
            err = n.Error()
            rc = n.lib.berth_wait_available(
                opened.handle, target.native.encode(), owner, max_concurrent, ms, c.byref(err)
            )
            if n.is_code(rc, "ETIMEDOUT"):
                return None
            n.check(rc, err)
            return True

        return _wait.wait(poll, deadline) is not None

    def disable_model(self, name: str) -> None:
        """Nobody gets the model any more, who waits for it gets ModelDisabled, and it is unloaded when
        its leases have ended. Of a daemon's models: for its own user."""
        self._set_enabled(n.lib.berth_disable, name)

    def enable_model(self, name: str) -> None:
        """The model may be used again."""
        self._set_enabled(n.lib.berth_enable, name)

    def _set_enabled(self, call: Callable[..., int], name: str) -> None:
        opened, err = core(), n.Error()
        target = opened.target(name)
        if target.model is None:
            raise UnknownModel(f"{name} is a family: name one of its models")
        n.check(call(opened.handle, target.native.encode(), c.byref(err)), err)

    def bind(self, fn: Callable[..., R]) -> Callable[..., R]:
        """fn with this context's leases, for an executor's or a thread's use."""
        return _owner.bind(fn)

    # ---- statistics ----

    def get_model_usage_stats(self) -> dict[str, Any]:
        """One consistent snapshot, without waiting:
        {"current_usage": {family: live leases}, "device": "cuda" | "cpu",
        "models_loaded": {family: a model is ready}}."""
        usage = core().usage()
        current, loaded = dict.fromkeys(FAMILIES, 0), dict.fromkeys(FAMILIES, False)
        for f in usage.families[: usage.n_families]:
            family = family_of(f.family.decode())
            if family in current:
                current[family], loaded[family] = int(f.leases), bool(f.ready)
        device = "cuda" if usage.device.startswith(b"cuda") else "cpu"
        return {"current_usage": current, "device": device, "models_loaded": loaded}

    # ---- memory ----

    def cleanup_all_models(
        self, timeout: float | None = 30.0, *, scope: str = "process"
    ) -> CleanupReport:
        """Unloads everything. Who comes meanwhile waits for the next load; who holds a lease gets until
        the time-out, then it is revoked and his next call raises LeaseRevoked. The caller's own leases
        are revoked at once. The manager stays usable.

        Where a daemon has the models, this is about the leases of this process, and unloads what no
        other uses; scope="daemon" is about everybody's, for the daemon's user only."""
        if scope not in ("process", "daemon"):
            raise ValueError(f"scope is 'process' or 'daemon', not {scope!r}")
        deadline = _wait.deadline_after(timeout)
        opened = core()
        mine = [h.lease for h in _owner.own()]
        for lease in mine:
            if lease is not None:
                lease.release(revoked=True)
        if opened.remote and scope == "process":
            report = _wait.beside(lambda: _shared.clean_up(opened, deadline))
        else:
            report = _clean_all(opened, timeout)
        if report.forced:
            _log.warning(
                "clean-up was forced after %s s: %d leases were revoked",
                timeout,
                report.leases_revoked,
            )
        return replace(report, leases_revoked=report.leases_revoked + len(mine))

    def cleanup_cuda_memory(self) -> TrimReport:
        """Gives caches of the device back; models stay, and it may be called while they are in use."""
        before, after, err = c.c_uint64(), c.c_uint64(), n.Error()
        rc = n.lib.berth_trim(core().handle, c.byref(before), c.byref(after), c.byref(err))
        n.check(rc, err)
        return TrimReport(before.value, after.value)


def get_model_manager() -> ModelManager:
    """The ModelManager of this process."""
    return ModelManager()
