"""Translation with the real student models that BERTH_STUDENTS names a folder of (tools/students); the
tensors without any model."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import berth
from berth._marian import _array, _generate_options, _masked, _padded

STUDENTS = os.environ.get("BERTH_STUDENTS", "")
real = pytest.mark.skipif(not STUDENTS, reason="BERTH_STUDENTS names no folder of student models")
NUMPY = importlib.util.find_spec("numpy") is not None
TORCH = importlib.util.find_spec("torch") is not None


def test_rows_and_masks() -> None:
    assert _padded([[1], [2, 3]], 0) == [[1, 0], [2, 3]]
    assert _padded([[1]], 9, 3) == [[1, 9, 9]]
    assert _masked([[1, 2, 9], [3, 9, 9]], [[1, 1, 0], [1, 0, 0]]) == [[1, 2], [3]]
    assert _masked([1, 2], None) == [[1, 2]]
    assert _masked([1, 2, 9], [1, 1, 0]) == [[1, 2]]


def test_arrays() -> None:
    assert _array([[1], [2, 3]], None) == [[1], [2, 3]]
    with pytest.raises(ValueError, match="padding=True"):
        _array([[1], [2, 3]], "np")
    with pytest.raises(NotImplementedError):
        _array([[1]], "tf")
    if not NUMPY:
        pytest.skip("numpy is not there")
    assert _array([[1, 2]], "np").shape == (1, 2)
    pt = _array([[1, 2]], "pt")
    assert type(pt).__module__.startswith("torch" if TORCH else "numpy")


def test_options() -> None:
    assert _generate_options({"num_beams": 4, "max_new_tokens": 9, "do_sample": False}) == [
        ("beams", "4"),
        ("max_length", "10"),
    ]
    for both in ({"max_length": 5, "max_new_tokens": 9}, {"max_new_tokens": 9, "max_length": 5}):
        assert _generate_options(both) == [("max_length", "10")]
    assert _generate_options({"max_length": 5, "max_new_tokens": None}) == [("max_length", "5")]
    assert _generate_options({"num_return_sequences": 3}) == [("alternatives", "2")]
    with pytest.raises(NotImplementedError, match="do_sample"):
        _generate_options({"do_sample": True})
    with pytest.raises(TypeError, match="nonsense"):
        _generate_options({"nonsense": 1})


@pytest.fixture
def pair(
    manager: berth.ModelManager, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[berth.MarianModel, berth.MarianTokenizer]]:
    monkeypatch.setenv("BERTH_TRANSLATION_MODEL", "")
    with manager.get_translation_model_safe("en", "pt") as both:
        yield both


@real
@pytest.mark.skipif(not NUMPY, reason="numpy is not there")
def test_snippet(manager: berth.ModelManager) -> None:
    src_lang, tgt_lang, text = "en", "pt", "Where is the nearest train station?"
    with manager.get_translation_model_safe(src_lang, tgt_lang) as (model, tokenizer):
        inputs = tokenizer([text], return_tensors="pt")
        outputs = model.generate(**inputs)
        expected = "Onde está a estação de trem mais próxima?"
        assert tokenizer.decode(outputs[0], skip_special_tokens=True) == expected
        assert tokenizer.batch_decode(outputs, skip_special_tokens=True) == [expected]
        assert list(inputs["input_ids"][0]) == [2200, 22, 6, 426, 893, 1850, 2415, 72, 0]
        assert list(outputs[0]) == [0, 2656, 121, 7, 2275, 4, 3585, 59, 2767, 72, 0]


@real
def test_batches(pair: tuple[Any, Any]) -> None:
    model, tokenizer = pair
    texts = ["I love you.", "Where is the nearest train station?"]
    inputs = tokenizer(texts, padding=True, truncation=True)
    assert [sum(m) for m in inputs.attention_mask] == [5, 9]
    assert len({len(r) for r in inputs.input_ids}) == 1
    alone = [
        tokenizer.decode(model.generate([tokenizer.encode(t)])[0], skip_special_tokens=True)
        for t in texts
    ]
    together = tokenizer.batch_decode(model.generate(**inputs), skip_special_tokens=True)
    assert together == alone
    several = model.generate(**inputs, num_beams=4, num_return_sequences=2)
    assert len(several) == 4
    assert tokenizer.batch_decode(several, skip_special_tokens=True)[0] == alone[0]
    assert "</s>" in tokenizer.decode(several[0])
    assert len(tokenizer(texts[1], truncation=True, max_length=4)["input_ids"]) == 4
    for padding, lengths in (
        ("longest", [9, 9]),
        ("do_not_pad", [5, 9]),
        (False, [5, 9]),
        ("max_length", [12, 12]),
    ):
        rows = tokenizer(texts, padding=padding, max_length=12)["input_ids"]
        assert [len(row) for row in rows] == lengths
    assert len(tokenizer(texts[1], padding="max_length")["input_ids"]) == 512
    for truncation, length in (("longest_first", 4), ("do_not_truncate", 9), (False, 9)):
        ids = tokenizer(texts[1], truncation=truncation, max_length=4)["input_ids"]
        assert len(ids) == length and ids[-1] == tokenizer.eos_token_id
    for wrong in (
        {"padding": "sideways"},
        {"truncation": "only_second"},
        {"truncation": True, "max_length": 0},
    ):
        with pytest.raises(ValueError):
            tokenizer(texts, **wrong)
    assert tokenizer.batch_decode([]) == [] and model.generate([]) == []
    with pytest.raises(TypeError):
        tokenizer(["a", 7])
    with pytest.raises(ValueError):
        model.generate([[1 << 30]])
    with pytest.raises(TypeError):
        model.generate()


@real
def test_translate(pair: tuple[Any, Any], pool: ThreadPoolExecutor) -> None:
    model, _ = pair
    assert model.translate(" I love you.\n\n12\t") == " Eu te amo.\n\n12\t"
    assert model.translate("<b>I</b> love you.", html=True).count("<b>") == 1
    texts = [f"The house number {i} is very big." for i in range(40)]
    alone = [model.translate(t) for t in texts]
    assert model.translate(texts) == alone
    assert list(pool.map(model.translate, texts)) == alone
    with pytest.raises(ValueError):
        model.translate("x", nonsense=1)
    with pytest.raises(TypeError):
        model.translate(7)


@real
def test_glossary(pair: tuple[Any, Any]) -> None:
    model, _ = pair
    text, terms = "The train to Lisbon is late.", {"train": "comboio", "Lisbon": "Lisboa Velha"}
    expected = "O comboio para Lisboa Velha é tarde."
    assert model.translate(text, glossary=terms) == expected
    assert asyncio.run(model.translate_async(text, glossary=terms)) == expected
    assert model.translate([text, "No term."], glossary=terms)[0] == expected
    assert model.translate(text, glossary={}) == model.translate(text)
    html = model.translate("<p>The <b>train</b> to Lisbon is late.</p>", html=True, glossary=terms)
    assert html == "<p>O <b>comboio</b> para Lisboa Velha é tarde.</p>"
    assert "“Bä”" in model.translate("The train is late.", glossary={"train": "“Bä”"}, beams=4)
    for wrong in ({"train": 7}, {"": "x"}, {"train": ""}, {"a\nb": "x"}, {"train": "x" * 257}):
        with pytest.raises(ValueError, match="glossary"):
            model.translate(text, glossary=wrong)
    with pytest.raises(ValueError, match="glossary"):
        model.translate(text, glossary="no JSON")


@real
def test_glossary_by_pivot(manager: berth.ModelManager) -> None:
    """As the command and the daemon do it: the first model keeps the terms, the second has them."""
    terms = {"train": "rocket", "Lisbon": "Old Lisbon"}
    with manager.get_translation_model_safe("en", "pt") as (first, _):
        between = first.translate("The train to Lisbon is late.", glossary=terms, glossary_keep=True)
    assert between == "O train para Lisbon é tarde."
    with manager.get_translation_model_safe("pt", "en") as (second, _):
        assert second.translate(between, glossary=terms) == "The rocket to Old Lisbon is late."


@real
def test_plain_object(manager: berth.ModelManager) -> None:
    model, tokenizer = manager.get_translation_model("en", "pt")
    assert manager.get_model_usage_stats()["current_usage"]["translation"] == 0
    assert model.translate("I love you.") == "Eu te amo."
    manager.cleanup_all_models(timeout=0)
    assert model.translate("I love you.") == "Eu te amo."
    assert tokenizer.eos_token_id == 0 and tokenizer.pad_token_id == 0


@real
def test_after_the_lease(manager: berth.ModelManager) -> None:
    with manager.get_translation_model_safe("en", "pt") as (model, tokenizer):
        pass
    for call in (
        lambda: model.translate("x"),
        lambda: tokenizer("x"),
        lambda: model.generate([[0]]),
    ):
        with pytest.raises(berth.LeaseReleased):
            call()
