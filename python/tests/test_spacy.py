"""Documents, tokens and spans as spaCy has them: recorded ones, those of a tiny pipeline, and of the real
one where BERTH_SPACY_SM names its folder."""

from __future__ import annotations

import asyncio
import ctypes as c
import gc
import json
import os

import docs
import pytest

import berth

REAL = os.environ.get("BERTH_SPACY_SM", "")
TEXT = "Apple is looking at buying U.K. startup for $1 billion."
GOLDEN = ("plain", "two", "mixed", "one", "blank", "nothing", "long", "sentences")
LONG = (
    "The old man whom the children had seen walking his three small dogs along the river that runs "
    "past the mill, which nobody has used since 1950, told Mary Smith of the New York Times about it, "
    "though, on Monday, June 3rd."
)


def recorded(name: str):
    return docs.doc_of(docs.golden(name)["line"])


@pytest.fixture
def doc():
    return recorded("plain")


# ---- recorded documents ----


@pytest.mark.parametrize("name", docs.NAMES)
def test_to_json(name):
    assert json.dumps(recorded(name).to_json()) == docs.golden(name)["to_json"]


@pytest.mark.parametrize("name", docs.NAMES)
def test_every_attribute(name):
    expected = json.loads(docs.golden(name)["everything"])["tokens"]
    found = recorded(name)
    assert len(found) == len(expected)
    for token, values in zip(found, expected):
        assert token.idx == values["start"] and token.idx + len(token) == values["end"]
        assert token.head.i == values["head"] and str(token.morph) == values["morph"]
        for key, value in values.items():
            if key not in ("id", "start", "end", "head", "morph"):
                name = key if key.startswith(("is_", "like_")) or key == "text" else f"{key}_"
                assert getattr(token, name) == value, key
    assert "".join(t.text_with_ws for t in found) == found.text


def test_document(doc):
    assert str(doc) == doc.text == TEXT and len(doc) == 12 and doc.lang_ == "en"
    assert [t.text for t in doc][:3] == ["Apple", "is", "looking"]
    assert (
        doc[0] == doc[-12] and doc[0] != doc[1] and doc[0] < doc[1] and len({doc[0], doc[0]}) == 1
    )
    assert doc[0] != recorded("plain")[0]
    assert doc.pipe_names[:2] == ["tok2vec", "tagger"]
    assert doc.has_annotation("TAG") and doc.has_annotation("SENT_START")
    assert not recorded("words").has_annotation("TAG") and recorded("nothing").has_annotation("TAG")
    for wrong in (12, -13):
        with pytest.raises(IndexError):
            doc[wrong]
    with pytest.raises(ValueError):
        doc[::2]
    with pytest.raises(ValueError, match="COLOUR"):
        doc.has_annotation("COLOUR")


def test_entities(doc):
    assert [(e.text, e.label_) for e in doc.ents] == [
        ("Apple", "ORG"),
        ("U.K.", "GPE"),
        ("$1 billion", "MONEY"),
    ]
    money = doc.ents[2]
    assert (money.start, money.end, money.start_char, money.end_char) == (8, 11, 44, 54)
    assert money.root.text == "billion" and money.sent.text == TEXT
    assert [t.ent_iob_ for t in money] == ["B", "I", "I"] and money[0].ent_type_ == "MONEY"
    assert [e.text for e in doc[4:9].ents] == ["U.K."]


def test_sentences():
    found = recorded("sentences")
    sents = list(found.sents)
    assert len(sents) > 1 and sents[0].start == 0 and sents[-1].end == len(found)
    assert found[0].is_sent_start and found[sents[1].start].is_sent_start
    assert found[sents[0].end - 1].is_sent_end and found[-1].is_sent_end
    assert found[sents[1].start].sent == sents[1]
    assert list(found[0 : len(found)].sents) == sents
    with pytest.raises(ValueError, match="sentences"):
        next(recorded("entities").sents)
    with pytest.raises(ValueError, match="parse"):
        next(recorded("entities").noun_chunks)


def test_syntax(doc):
    looking = doc[2]
    assert looking.dep_ == "ROOT" and looking.head == looking and not list(looking.ancestors)
    assert [t.text for t in looking.lefts] == ["Apple", "is"] and looking.n_lefts == 2
    assert [t.text for t in looking.rights] == ["at", "."] and looking.n_rights == 2
    assert [t.i for t in looking.children] == [0, 1, 3, 11]
    assert [t.i for t in looking.subtree] == list(range(12))
    assert [t.text for t in doc[10].ancestors] == ["for", "startup", "buying", "at", "looking"]
    assert looking.is_ancestor(doc[10]) and not doc[10].is_ancestor(looking)
    assert (doc[10].left_edge.i, doc[10].right_edge.i) == (8, 10)
    assert doc[0].nbor().text == "is" and doc[1].nbor(-1).text == "Apple"
    with pytest.raises(IndexError):
        doc[0].nbor(-1)
    assert [c.text for c in doc.noun_chunks] == ["Apple", "U.K."]
    span = doc[4:7]
    assert span.root.text == "buying" and [t.i for t in span.rights] == [7] and not list(span.lefts)
    assert [t.i for t in span.subtree] == list(range(4, 11))


def test_spans(doc):
    span = doc[2:5]
    assert span.text == "looking at buying" and str(span) == span.text and len(span) == 3
    assert span.text_with_ws == "looking at buying " and span.lemma_ == "look at buy"
    assert span[0].text == "looking" and span[-1].text == "buying" and span[1:].text == "at buying"
    assert span[:-1] == doc[2:4] and span != doc[2:4] and len({doc[2:4], span[:2]}) == 1
    assert not len(doc[5:2]) and doc[5:2].text == "" and doc[99:].text == ""
    with pytest.raises(IndexError):
        span[3]
    with pytest.raises(IndexError):
        _ = doc[3:3].root
    assert doc.char_span(44, 54, label="X").label_ == "X" and doc.char_span(44, 53) is None
    assert doc.char_span(43, 50, alignment_mode="expand").text == "$1 billion"
    assert doc.char_span(40, 50, alignment_mode="contract").text == "for $1"
    assert doc.char_span(45, 46, alignment_mode="contract").text == "1"
    with pytest.raises(ValueError):
        doc.char_span(0, 1, alignment_mode="about")


def test_morph(doc):
    morph = doc[1].morph
    assert morph.get("Tense") == ["Pres"] and morph.get("Gender") == [] and len(morph) == 5
    assert morph.to_dict()["VerbForm"] == "Fin" and "Tense=Pres" in morph
    assert morph == doc[1].morph and morph != doc[0].morph and not len(doc[3].morph)
    assert "|".join(morph) == str(morph)


def test_tokens_outlive_the_document(doc):
    token, span, ents = doc[10], doc[8:11], doc.ents
    del doc
    gc.collect()
    assert token.text == "billion" and span.text == "$1 billion" and ents[1].text == "U.K."


def test_vectors():
    numpy = pytest.importorskip("numpy")
    line = docs.golden("entities")["line"]
    rows = numpy.arange(12, dtype=numpy.float32).reshape(6, 2)
    data = rows.ctypes.data_as(c.POINTER(c.c_float))
    found = docs.doc_of(line, tensor=data, tensor_width=2)
    assert (
        (found.tensor == rows).all() and (found[1].vector == [2, 3]).all() and found[0].has_vector
    )
    assert (found.vector == rows.mean(axis=0)).all() and (found[1:3].vector == [3, 4]).all()
    assert found[1].similarity(found[1]) == 1.0
    cosine = (0 * 2 + 1 * 3) / numpy.sqrt(1 * 13)
    assert abs(found[0].similarity(found[1]) - cosine) < 1e-6
    # words' own vectors win; a word without one has zeros
    words = rows.copy()
    words[0] = 0
    found = docs.doc_of(
        line,
        tensor=data,
        tensor_width=2,
        vectors=words.ctypes.data_as(c.POINTER(c.c_float)),
        vector_width=2,
    )
    assert not found[0].has_vector and found[1].has_vector and found[0].similarity(found[1]) == 0.0
    assert docs.doc_of(line)[0].vector.shape == (0,) and not docs.doc_of(line)[0].has_vector


# ---- a toy in a pipeline's place ----


def test_toy(manager):
    with manager.get_spacy_model_safe() as nlp:
        assert [token.text for token in nlp("a few words")] == ["a", "few", "words"]
        assert [len(doc) for doc in nlp.pipe(["a b", "c"])] == [2, 1]


# ---- pipelines ----

real = pytest.mark.skipif(not REAL, reason="BERTH_SPACY_SM names no pipeline")


@pytest.fixture(params=["spacy/tiny", pytest.param("spacy/real", marks=real)], ids=["tiny", "real"])
def folder(request):
    return request.param


@pytest.fixture
def nlp(manager, folder, monkeypatch):
    monkeypatch.setenv("BERTH_SPACY_MODEL", folder)
    with manager.get_spacy_model_safe() as found:
        yield found


@pytest.fixture
def english(manager, monkeypatch):
    monkeypatch.setenv("BERTH_SPACY_MODEL", "spacy/real")
    with manager.get_spacy_model_safe() as found:
        yield found


@real
@pytest.mark.parametrize("name", list(GOLDEN))
def test_pipeline(english, name):
    golden = docs.golden(name)
    assert json.dumps(english(golden["line"]["doc"]["text"]).to_json()) == golden["to_json"]


@real
def test_components(english):
    all_names = ["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer", "ner"]
    assert english.pipe_names == all_names and english.lang == "en" and english.has_pipe("ner")
    with english.select_pipes(enable=["ner"]):
        assert english.pipe_names == ["ner"]
        found = english("Angela Merkel lives in Berlin.")
        assert [e.text for e in found.ents] == ["Angela Merkel", "Berlin"]
        assert not found.has_annotation("TAG")
    with english.disable_pipes("parser", "ner"):
        assert not english("It is.").has_annotation("DEP")
    assert english.pipe_names == all_names
    assert not english(TEXT, disable=["ner"]).has_annotation("ENT_IOB")
    with pytest.raises(ValueError, match="nonsense"):
        english(TEXT, disable="nonsense")


def test_pipe(nlp):
    texts = [f"This is text number {i}." for i in range(200)]
    assert [d.text for d in nlp.pipe(texts)] == texts
    pairs = nlp.pipe(((t, i) for i, t in enumerate(texts)), as_tuples=True, batch_size=7)
    assert [(d.text, i) for d, i in pairs] == [(t, i) for i, t in enumerate(texts)]
    assert list(nlp.pipe([])) == []
    some = nlp.pipe(texts)
    assert next(some).text == texts[0]
    some.close()  # the others are cancelled
    with pytest.raises(TypeError):
        list(nlp.pipe(["a", 5]))


def test_documents_outlive_the_lease(manager, folder, monkeypatch):
    monkeypatch.setenv("BERTH_SPACY_MODEL", folder)
    with manager.get_spacy_model_safe() as nlp:
        found = nlp(TEXT)
    with pytest.raises(berth.LeaseReleased):
        nlp(TEXT)
    with pytest.raises(berth.LeaseReleased):
        list(nlp.pipe([TEXT]))
    assert [t.text for t in found][-1] == "."
    nlp = manager.get_spacy_model()
    assert nlp(TEXT).to_json() == found.to_json()
    assert [d.to_json() for d in nlp.pipe([TEXT])] == [found.to_json()]


def test_many_threads_and_tasks(nlp, pool):
    alone = nlp(LONG).to_json()
    assert all(d.to_json() == alone for d in pool.map(nlp, [LONG] * 32))

    async def tasks():
        return await asyncio.gather(*(nlp.call_async(LONG) for _ in range(8)))

    assert all(d.to_json() == alone for d in asyncio.run(tasks()))


def test_vectors_of_the_pipeline(nlp):
    pytest.importorskip("numpy")
    found = nlp(TEXT)
    assert found.tensor.shape[0] == 12 and found.tensor.shape[1] > 0 and found[0].has_vector
    assert found.tensor.any() and (nlp(TEXT).tensor == found.tensor).all()
    assert -1 < found[0:3].similarity(found[3:6]) < 1


def test_bad_texts(nlp):
    with pytest.raises(TypeError):
        nlp(5)
    with pytest.raises(berth.BerthError):
        nlp("a" * (nlp.max_length + 1))
