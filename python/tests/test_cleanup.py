"""Cleaning up, forks, interrupts."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from conftest import FOLDER, Holder, Sound, eventually, outside, used

import berth


def empty(manager) -> bool:
    s = manager.get_model_usage_stats()
    return not any(s["models_loaded"].values()) and not any(s["current_usage"].values())


def test_waits_for_what_runs(manager, pool, sound: Sound):
    started = threading.Event()

    def work(model):
        started.set()
        return model.transcribe(sound.short)

    with manager.get_whisper_model_safe() as model:
        f = pool.submit(work, model)
        started.wait()
        c = pool.submit(manager.cleanup_all_models, 30)
        assert sound.words in f.result(30)["text"]
        assert not c.done()
    report = c.result(10)
    assert not report.forced and report.models_unloaded >= 1
    assert report.bytes_after < report.bytes_before
    assert empty(manager)
    with manager.get_whisper_model_safe() as model:  # the next generation
        model.transcribe(sound.short)


def test_forced(manager, pool, sound: Sound, caplog):
    with manager.get_whisper_model_safe() as model:
        f = pool.submit(model.transcribe, sound.long)
        eventually(lambda: used(manager) == 1)
        time.sleep(0.2)
        with caplog.at_level(logging.WARNING, "berth"):
            c = pool.submit(manager.cleanup_all_models, 0.3)
            with pytest.raises(berth.LeaseRevoked):
                f.result(20)
            report = c.result(10)
        assert report.forced and report.leases_revoked == 1
        assert "forced" in caplog.text
        with pytest.raises(berth.LeaseRevoked):
            model.transcribe(sound.short)
    assert empty(manager)


def test_ones_own_are_not_waited_for(manager):
    with manager.get_whisper_model_safe() as model:
        before = time.monotonic()
        report = manager.cleanup_all_models(30)
        assert time.monotonic() - before < 5
        assert not report.forced and report.leases_revoked == 1
        with pytest.raises(berth.LeaseRevoked):
            model.transcribe(b"x")
        assert empty(manager)
        with manager.get_whisper_model_safe() as again:
            assert again.transcribe(b"x")["text"] == "x"


def test_newcomers_get_the_next_generation(manager, pool):
    """They neither use what is being drained nor hold the clean-up up."""

    def newcomer():
        with manager.get_whisper_model_safe() as model:
            return model.transcribe(b"new")["text"], leave.wait(10)

    leave = threading.Event()
    with Holder(manager.get_whisper_model_safe()):
        c = pool.submit(manager.cleanup_all_models, 30)
        time.sleep(0.1)
        f = pool.submit(newcomer)
        time.sleep(0.2)
        assert not c.done()
    report = c.result(10)
    assert not report.forced and report.leases_waited_for == 1
    assert manager.get_model_usage_stats()["models_loaded"]["whisper"]
    leave.set()
    assert f.result(10) == ("new", True)


def test_trim_while_in_use(manager, sound: Sound):
    with manager.get_whisper_model_safe() as model:
        report = manager.cleanup_cuda_memory()
        assert report.bytes_before >= report.bytes_after > 0
        assert sound.words in model.transcribe(sound.short)["text"]


def test_fork(manager):
    model = manager.get_whisper_model()
    with manager.get_whisper_model_safe() as bound:
        pid = os.fork()
        if pid == 0:
            ok = False
            try:
                try:
                    bound.transcribe(b"x")
                except berth.ForkError:
                    ok = True
                # what the parent holds is nobody's own here
                with berth.ModelManager().exclusive_model_access("whisper", timeout=5):
                    ok = ok and model.transcribe(b"x")["text"] == "x"
            finally:
                os._exit(0 if ok else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert bound.transcribe(b"x")["text"] == "x"


def rest_of(program: subprocess.Popen) -> tuple[str, str, int]:
    """What it still says until its end; communicate() would lose what readline() has buffered."""
    with program:
        return program.stdout.read(), program.stderr.read(), program.wait(30)


def run_program(text: str, **kwargs) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(text)],
        env=dict(os.environ, BERTH_CONFIG=str(FOLDER / "berth.yaml")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


INTERRUPTED = {
    "transcribe": "manager.get_whisper_model().transcribe(b'toy:sleep=60')",
    "acquire": "manager.exclusive_model_access('whisper').acquire()",
    "available": "manager.wait_for_model_availability('whisper', 1, 60)",
    "cleanup": "manager.cleanup_all_models(60)",
}


@pytest.mark.parametrize("what", INTERRUPTED)
def test_control_c(what):
    program = run_program(
        f"""
        import signal, threading, berth
        # a job in the background of a shell begins with SIGINT ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
        manager = berth.get_model_manager()
        def hold():
            with manager.get_whisper_model_safe():
                holding.set()
                leave.wait()
        holding, leave = threading.Event(), threading.Event()
        t = threading.Thread(target=hold)
        t.start()
        holding.wait()
        try:
            print("ready", flush=True)
            {INTERRUPTED[what]}
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        leave.set()
        t.join()
        with manager.exclusive_model_access("whisper", timeout=10):
            print("usable", flush=True)
        """
    )
    assert program.stdout.readline() == "ready\n"
    time.sleep(0.2)
    before = time.monotonic()
    program.send_signal(signal.SIGINT)
    assert program.stdout.readline() == "interrupted\n"
    assert time.monotonic() - before < 1
    assert rest_of(program) == ("usable\n", "", 0)


def test_leaving_with_work_under_way():
    """Daemon threads at work and leases in hand do not hang or crash the end."""
    program = run_program(
        """
        import threading, time, berth
        manager = berth.get_model_manager()
        model = manager.get_whisper_model()
        def work():
            try:
                model.transcribe(b"toy:sleep=60")
            except berth.LeaseRevoked:
                pass
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.2)
        """
    )
    assert rest_of(program) == ("", "", 0)


def test_other_threads_run_during_work(manager, sound: Sound):
    """The interpreter lock is free: a counting thread gets on."""
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0.001)

    t = threading.Thread(target=count)
    t.start()
    outside(manager.get_whisper_model().transcribe, sound.short)
    stop.set()
    t.join()
    assert counted[0] > 50
