"""Getters, bound and plain objects, nesting, statistics."""

from __future__ import annotations

import contextlib
import os
import threading
import time

import pytest
from conftest import Holder, Sound, enter, eventually, outside, used

import berth


def test_one_manager(pool):
    ids = set(pool.map(lambda _: id(berth.ModelManager()), range(256)))
    assert ids == {id(berth.get_model_manager())}


def test_statistics_before_anything(manager):
    stats = manager.get_model_usage_stats()
    assert stats == {
        "current_usage": {"whisper": 0, "translation": 0, "spacy": 0},
        "device": stats["device"],
        "models_loaded": {"whisper": False, "translation": False, "spacy": False},
    }
    assert stats["device"] in ("cpu", "cuda")


def test_bound(manager, sound: Sound):
    access = manager.get_whisper_model_safe()
    assert used(manager) == 0  # nothing is taken before it is entered
    with access as model:
        assert used(manager) == 1
        assert manager.get_model_usage_stats()["models_loaded"]["whisper"]
        result = model.transcribe(sound.short)
        assert sound.words in result["text"]
        assert sound.words in outside(model.transcribe, sound.short)["text"]  # from any thread
        with manager.get_whisper_model_safe():
            assert used(manager) == 2
    assert used(manager) == 0
    with pytest.raises(berth.LeaseReleased):
        model.transcribe(sound.short)


def test_plain(manager, pool, sound: Sound):
    model = manager.get_whisper_model()
    assert used(manager) == 0
    assert manager.get_model_usage_stats()["models_loaded"]["whisper"]
    f = pool.submit(model.transcribe, sound.short)
    eventually(lambda: used(manager) == 1 or f.done())
    assert sound.words in f.result(60)["text"]
    manager.cleanup_all_models()
    assert not manager.get_model_usage_stats()["models_loaded"]["whisper"]
    assert sound.words in model.transcribe(sound.short)["text"]  # loaded again


def test_plain_uses_the_lease_it_was_made_under(manager, pool):
    with manager.get_whisper_model_safe():
        model = manager.get_whisper_model()
        f = pool.submit(model.transcribe, b"toy:sleep=0.3")
        time.sleep(0.1)
        assert used(manager) == 1  # no further one
        f.result(5)
    f = pool.submit(model.transcribe, b"toy:sleep=0.3")
    eventually(lambda: used(manager) == 1)
    f.result(5)


def test_plain_goes_on_when_its_lease_ends(manager, pool):
    with manager.get_whisper_model_safe():
        model = manager.get_whisper_model()
        f = pool.submit(model.transcribe, b"toy:sleep=0.5")
        time.sleep(0.1)
    assert f.result(5)["text"] == "toy:sleep=0.5"


def test_the_other_families(manager):
    with manager.get_spacy_model_safe() as nlp, manager.get_spacy_model_safe():
        assert used(manager, "spacy") == 2
        assert [token.text for token in nlp("a b")] == ["a", "b"]
    with manager.get_translation_model_safe("en", "de") as (model, tokenizer):
        assert used(manager, "translation") == 1
        outputs = model.generate(**tokenizer(["good day"], return_tensors="pt"))
        assert tokenizer.decode(outputs[0], skip_special_tokens=True) == "good day"
        assert tokenizer.batch_decode(outputs, skip_special_tokens=True) == ["good day"]
    model, tokenizer = manager.get_translation_model("en", "de")
    assert len(model.generate(**tokenizer("abc"))[0]) == 3
    assert len(manager.get_spacy_model()("a b c")) == 3


def test_statistics_are_exact_and_never_wait(manager, pool):
    entered, leave = threading.Barrier(17), threading.Event()

    def hold(i):
        get = (manager.get_whisper_model_safe, manager.get_spacy_model_safe)[i % 2]
        with get():
            entered.wait(30)
            leave.wait(30)

    all_of_them = [pool.submit(hold, i) for i in range(16)]
    entered.wait(30)
    start = time.monotonic()
    for _ in range(100):
        assert manager.get_model_usage_stats()["current_usage"] == {
            "whisper": 8,
            "translation": 0,
            "spacy": 8,
        }
    assert time.monotonic() - start < 2
    leave.set()
    for f in all_of_them:
        f.result(30)


def test_acquire_and_release(manager):
    access = manager.get_whisper_model_safe()
    model = access.acquire()
    assert used(manager) == 1
    with pytest.raises(RuntimeError, match="held already"):
        access.acquire()
    assert model.transcribe(b"hallo")["text"] == "hallo"
    access.release()
    access.release()
    assert used(manager) == 0
    enter(access)  # again


def test_an_exception_leaves_nothing(manager):
    with contextlib.suppress(KeyError), manager.get_whisper_model_safe():
        raise KeyError
    with pytest.raises(berth.BerthError) as e:
        enter(manager.get_whisper_model_safe("broken"))
    assert e.value.code == "EFORMAT"
    assert used(manager) == 0


def test_max_concurrent(manager):
    with Holder(manager.get_whisper_model_safe()):
        enter(manager.get_whisper_model_safe(max_concurrent=2))
        with pytest.raises(TimeoutError):
            enter(manager.get_whisper_model_safe(max_concurrent=1, timeout=0.1))
        with manager.get_whisper_model_safe():  # one's own do not count
            enter(manager.get_whisper_model_safe(max_concurrent=2, timeout=0.1))
    enter(manager.get_whisper_model_safe(max_concurrent=1, timeout=5))
    with pytest.raises(ValueError):
        manager.get_whisper_model_safe(max_concurrent=0)


def test_release_cancels_what_runs(manager, pool, sound: Sound):
    with manager.get_whisper_model_safe() as model:
        f = pool.submit(model.transcribe, sound.long)
        time.sleep(0.3)
    with pytest.raises(berth.LeaseReleased):
        f.result(10)


def test_names(manager, monkeypatch):
    enter(manager.get_whisper_model_safe("base"))
    enter(manager.get_whisper_model_safe("whisper/slow"))
    enter(manager.get_whisper_model_safe("my-base"))
    monkeypatch.setenv("BERTH_WHISPER_MODEL", "whisper/slow")
    with manager.exclusive_model_access("whisper/base"):
        outside(enter, manager.get_whisper_model_safe(timeout=5))  # another model
    monkeypatch.delenv("BERTH_WHISPER_MODEL")
    for wrong in (
        lambda: enter(manager.get_whisper_model_safe("large")),
        lambda: enter(manager.get_whisper_model_safe("spacy/en_core_web_sm")),
        lambda: enter(manager.get_translation_model_safe("en", "xx")),
        lambda: enter(manager.exclusive_model_access("wisper")),
        lambda: manager.wait_for_model_availability("wisper", timeout=0),
        lambda: manager.get_whisper_model("large"),
    ):
        with pytest.raises(berth.UnknownModel):
            wrong()


@pytest.mark.skipif(
    os.environ["BERTH_SERVER"] != "none", reason="a daemon opens no paths of clients"
)
def test_a_path_as_default(manager, monkeypatch, tmp_path):
    file = tmp_path / "mine"
    file.write_text("berth-toy 1\n")
    monkeypatch.setenv("BERTH_SPACY_MODEL", str(file))
    with manager.get_spacy_model_safe() as nlp:
        assert len(nlp("a b")) == 2


def test_single_flight(manager, pool):
    before = time.monotonic()
    list(pool.map(lambda _: enter(manager.get_whisper_model_safe("slow")), range(16)))
    assert time.monotonic() - before < 2  # 0.2 s a load


def test_requests_of_threads_run_together(manager, pool):
    model = manager.get_whisper_model()
    before = time.monotonic()
    texts = [r["text"] for r in pool.map(model.transcribe, [b"toy:sleep=0.5"] * 16)]
    assert texts == ["toy:sleep=0.5"] * 16
    assert time.monotonic() - before < 4  # not 8
