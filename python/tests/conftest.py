"""A configuration of toy models under the names that callers use; the real Whisper where BERTH_SAMPLE
names its folder."""

from __future__ import annotations

import os
import tempfile
import threading
import time
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_folder = tempfile.TemporaryDirectory(prefix="berth-python-")
FOLDER = Path(_folder.name)
REAL = os.environ.get("BERTH_SAMPLE", "")
STUDENTS = os.environ.get("BERTH_STUDENTS", "")
PIPELINE = os.environ.get("BERTH_SPACY_SM", "")
TINY_PIPELINE = Path(__file__).parents[2] / "tests" / "data" / "spacy" / "tiny_en"
SPEECH = Path("/usr/share/pocketsphinx/test/data")


def student(pair: str) -> Path:
    """Its folder: as tools/students names it, or as the wheel does (enpt-1693087644)."""
    found = [*Path(STUDENTS).glob(pair), *Path(STUDENTS).glob(pair.replace("-", "") + "*")]
    assert found, f"{STUDENTS} has no model {pair}"
    return found[0]


def _configure() -> None:
    (FOLDER / "toy").write_text("berth-toy 1\n")
    (FOLDER / "slow").write_text("berth-toy 1\nload_ms = 200\n")
    (FOLDER / "broken").write_text("berth-toy 1\nload_fail = EFORMAT\n")
    lines = ["models:"]
    for name, path in (
        ("whisper/base", "toy"),
        ("whisper/slow", "slow"),
        ("whisper/broken", "broken"),
        ("marian/en-de", "toy"),
        ("spacy/en_core_web_sm", "toy"),
    ):
        lines.append(f"  {name}: {{path: {path}, engine: toy, alias: my-{name.split('/')[1]}}}")
    if REAL:
        lines.append(f"  whisper/real: {{path: {REAL}}}")
    if STUDENTS:
        for pair in ("en-pt", "pt-en"):
            folder = student(pair)
            lines.append(f"  marian/{pair}: {{path: {folder}}}")
    lines.append(f"  spacy/tiny: {{path: {TINY_PIPELINE}}}")
    if PIPELINE:
        lines.append(f"  spacy/real: {{path: {PIPELINE}}}")
    (FOLDER / "berth.yaml").write_text("\n".join(lines) + "\n")
    os.environ["BERTH_CONFIG"] = str(FOLDER / "berth.yaml")
    os.environ.pop("BERTH_WHISPER_MODEL", None)
    # in this process, or where the caller wants the models
    os.environ["BERTH_SERVER"] = os.environ.get("BERTH_TEST_SERVER", "none")


_configure()


def pytest_unconfigure() -> None:
    _folder.cleanup()


import berth  # noqa: E402  (reads BERTH_CONFIG later, but nobody should have to know)


@dataclass
class Sound:
    """Something to transcribe with the default Whisper model."""

    short: Any
    long: Any  # many seconds of work
    words: str  # in the result of `short`


def _repeat(source: Path, target: Path, times: int) -> Path:
    with wave.open(str(source)) as r, wave.open(str(target), "wb") as w:
        w.setparams(r.getparams())
        w.writeframes(r.readframes(r.getnframes()) * times)
    return target


@pytest.fixture(params=["toy", "real"])
def sound(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Sound:
    """Once with a toy, once with the real thing."""
    if request.param == "toy":
        return Sound(b"toy:sleep=0.3", b"toy:sleep=60", "toy:sleep")
    if not REAL:
        pytest.skip("BERTH_SAMPLE names no model")
    file = SPEECH / "librivox/sense_and_sensibility_01_austen_64kb-0880.wav"
    if not file.exists():
        pytest.skip("pocketsphinx-testdata is not installed")
    monkeypatch.setenv("BERTH_WHISPER_MODEL", "whisper/real")
    speech = SPEECH / "librivox/sense_and_sensibility_01_austen_64kb-0870.wav"
    return Sound(str(file), str(_repeat(speech, FOLDER / "long.wav", 40)), "disposed young man")


@pytest.fixture
def manager() -> Iterator[berth.ModelManager]:
    """The manager; at the end nothing may be held."""
    m = berth.get_model_manager()
    yield m
    try:
        assert set(m.get_model_usage_stats()["current_usage"].values()) == {0}
    finally:
        m.cleanup_all_models(timeout=0)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as p:
        yield p


def outside(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Runs fn in a new thread, which holds nothing, and gives its result or raises its exception."""
    with ThreadPoolExecutor(1) as p:
        return p.submit(fn, *args, **kwargs).result(60)


def enter(access: Any) -> Any:
    """In and out again."""
    with access as x:
        return x


def used(manager: berth.ModelManager, family: str = "whisper") -> int:
    return int(manager.get_model_usage_stats()["current_usage"][family])


def eventually(condition: Callable[[], bool], within: float = 10) -> None:
    """Waits until the condition holds."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


class Holder:
    """A thread that holds something until told to leave."""

    def __init__(self, access: Any) -> None:
        self._leave = threading.Event()
        self._in = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(access,))
        self._thread.start()
        assert self._in.wait(30)

    def _run(self, access: Any) -> None:
        with access:
            self._in.set()
            self._leave.wait(60)

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        self._thread.join()
