#!/usr/bin/env python3
"""Shows, and checks, that many callers share models safely: concurrent access, exact statistics,
exclusive access, errors and time-outs.

    python examples/test_concurrent_models.py [SOUND]

With SOUND and a configuration (BERTH_CONFIG, BERTH_WHISPER_MODEL) it uses the real Whisper; without, toy models.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CALLERS = 16


def use_toys(folder: Path) -> bytes:
    """A configuration of toy models under the real names; a "sound" that is 0.2 s of work."""
    (folder / "toy").write_text("berth-toy 1\n")
    names = ("whisper/base", "marian/en-de", "spacy/en_core_web_sm")
    models = "".join(f"  {name}: {{path: toy, engine: toy}}\n" for name in names)
    (folder / "berth.yaml").write_text("models:\n" + models)
    os.environ["BERTH_CONFIG"] = str(folder / "berth.yaml")
    return b"toy:sleep=0.2"


def say(what: str) -> None:
    print(f"ok  {what}", flush=True)


def concurrent_access(manager, sound) -> None:
    with manager.get_whisper_model_safe() as model:
        start = time.monotonic()
        alone = model.transcribe(sound)["text"]
        one = time.monotonic() - start

    def call(_: int) -> str:
        with manager.get_whisper_model_safe() as model:
            return str(model.transcribe(sound)["text"])

    start = time.monotonic()
    with ThreadPoolExecutor(CALLERS) as pool:
        texts = list(pool.map(call, range(CALLERS)))
    all_of_them = time.monotonic() - start
    assert texts == [alone] * CALLERS
    say(f"{CALLERS} callers at once, {all_of_them:.2f} s; one alone, {one:.2f} s; the same text")


def exact_statistics(manager) -> None:
    inside, leave = threading.Barrier(CALLERS + 1), threading.Event()

    def hold(_: int) -> None:
        with manager.get_whisper_model_safe():
            inside.wait(60)
            leave.wait(60)

    with ThreadPoolExecutor(CALLERS) as pool:
        held = [pool.submit(hold, i) for i in range(CALLERS)]
        inside.wait(60)
        stats = manager.get_model_usage_stats()
        leave.set()
        for h in held:
            h.result()
    assert stats["current_usage"] == {"whisper": CALLERS, "translation": 0, "spacy": 0}, stats
    assert stats["models_loaded"]["whisper"]
    assert not any(manager.get_model_usage_stats()["current_usage"].values())
    say(f"statistics: {CALLERS} leases counted, none afterwards, on {stats['device']}")


def exclusive_access(manager, sound) -> None:
    inside = most = 0

    def work(_: int) -> None:
        nonlocal inside, most
        with manager.exclusive_model_access("whisper", timeout=60):
            inside += 1
            most = max(most, inside)
            time.sleep(0.01)
            inside -= 1

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(work, range(CALLERS)))
    assert most == 1
    with manager.exclusive_model_access("whisper", timeout=60):
        manager.get_whisper_model().transcribe(sound)  # one's own
    say("exclusive access: one at a time, and usable inside")


def time_outs(manager, sound) -> None:
    with manager.get_whisper_model_safe(), ThreadPoolExecutor(1) as pool:

        def outsider() -> None:
            assert not manager.wait_for_model_availability("whisper", max_concurrent=1, timeout=0.1)
            try:
                with manager.exclusive_model_access("whisper", timeout=0.1):
                    raise AssertionError("exclusive beside a shared lease")
            except TimeoutError as e:
                say(f"time-out: {e}")

        pool.submit(outsider).result()
    assert manager.wait_for_model_availability("whisper", max_concurrent=1, timeout=5)


def errors(manager, sound) -> None:
    try:
        with manager.get_whisper_model_safe() as model:
            raise KeyError("a caller's own mistake")
    except KeyError:
        pass
    try:
        model.transcribe(sound)
        raise AssertionError("used after its block")
    except RuntimeError as e:
        say(f"after the block: {e}")
    try:
        manager.wait_for_model_availability("wisper")
        raise AssertionError("there is no such model")
    except ValueError as e:
        say(f"unknown name: {e}")
    with manager.get_whisper_model_safe() as model:
        try:
            model.transcribe(sound, langage="en")
            raise AssertionError("there is no such option")
        except TypeError as e:
            say(f"unknown option: {e}")
    assert manager.get_model_usage_stats()["current_usage"]["whisper"] == 0


def tasks(manager, sound) -> None:
    async def one() -> str:
        async with manager.get_whisper_model_safe(max_concurrent=4) as model:
            return str((await model.transcribe_async(sound))["text"])

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*(one() for _ in range(CALLERS)))

    assert len(set(asyncio.run(all_of_them()))) == 1
    say(f"asyncio: {CALLERS} tasks, four at a time")


def clean_up(manager, sound) -> None:
    report = manager.cleanup_all_models(timeout=30)
    assert not any(manager.get_model_usage_stats()["models_loaded"].values())
    with manager.get_whisper_model_safe() as model:
        model.transcribe(sound)
        manager.cleanup_cuda_memory()
    say(f"clean-up: {report.models_unloaded} unloaded, loaded again when needed")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sound = sys.argv[1] if len(sys.argv) > 1 else use_toys(Path(folder))
        from berth import get_model_manager

        manager = get_model_manager()
        concurrent_access(manager, sound)
        exact_statistics(manager)
        exclusive_access(manager, sound)
        time_outs(manager, sound)
        errors(manager, sound)
        tasks(manager, sound)
        clean_up(manager, sound)
        print("all passed")


if __name__ == "__main__":
    main()
