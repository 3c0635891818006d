"""What spaCy's rule components answer, for tests/unit/spacy/test_spacy_rules.c.

    python tools/spacy_rules.py OUT [--model en_core_web_sm] [--texts FILE ...] [--only PART ...] [--many]

Needs spacy 3.8.7 and spacy-lookups-data 1.0.5; with --model also that package. Each OUT/*.jsonl has
a line that says what runs (files beside it hold its tables), then a line per document: words, the
annotation it is given and what spaCy makes of it. Tables are cut to what these documents touch;
--many makes more documents and cuts nothing, for a run that is not kept.
"""
import argparse
import json
import random
import warnings
from pathlib import Path

import numpy
import srsly
import spacy
from spacy.lookups import Lookups
from spacy.matcher import Matcher
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc

POS = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()
rnd = random.Random(7)


def annotation(doc, *names):
    """The given fields of a document, by token."""
    fields = {
        "tag": lambda t: t.tag_,
        "pos": lambda t: t.pos_,
        "morph": lambda t: str(t.morph),
        "lemma": lambda t: t.lemma_,
        "dep": lambda t: t.dep_,
        "head": lambda t: t.head.i,
        "sent": lambda t: {None: 0, True: 1, False: -1}[t.is_sent_start],
        "iob": lambda t: t.ent_iob,
        "type": lambda t: t.ent_type_,
        "left": lambda t: t.left_edge.i,
        "right": lambda t: t.right_edge.i,
    }
    return {name: [fields[name](t) for t in doc] for name in names}


def line(doc, given, out, **more):
    words = {"w": [t.text for t in doc], "s": "".join(str(int(bool(t.whitespace_))) for t in doc)}
    return {**words, "in": given, "out": out, **more}


def write(out, name, lang, steps, lines, **files):
    head = {"spacy": spacy.__version__, "lang": lang, "steps": steps}
    with open(out / f"{name}.jsonl", "w", encoding="utf8") as f:
        for x in [head, *lines]:
            f.write(json.dumps(x, ensure_ascii=False, separators=(",", ":")) + "\n")
    for file, data in files.items():
        (out / file.replace("__", ".")).write_bytes(data)
    print(name, len(lines), "documents", sum(len(x.get("w", [])) for x in lines), "tokens")


# ---- English, with the tags and trees of a model ------------------------------------------------


class Seen(dict):
    """A table that remembers which of its keys were found."""

    def __init__(self, items):
        super().__init__(items)
        self.found = set()

    def __contains__(self, key):
        return self.note(key, super().__contains__(key))

    def note(self, key, there):
        if there:
            self.found.add(key)
        return there

    def get(self, key, default=None):
        return self[key] if key in self else default

    def __getitem__(self, key):
        if super().__contains__(key):
            self.found.add(key)
        return super().__getitem__(key)

    def cut(self):
        return {k: dict.__getitem__(self, k) for k in sorted(self.found)}


def watched(kind):
    class Watched(kind):
        def __contains__(self, key):
            there = super().__contains__(key)
            if there:
                self.found.add(key)
            return there

        def get(self, key, default=None):
            return super().get(key, default) if key in self else default

    return Watched


def watch(lookups):
    """Replaces the big tables of a lemmatizer by ones that remember."""
    for name in lookups.tables:
        table = lookups.get_table(name)
        if name in ("lemma_index", "lemma_exc"):
            for pos, inner in list(table.items()):
                seen = Seen(inner if isinstance(inner, dict) else dict.fromkeys(inner))
                seen.list = not isinstance(inner, dict)
                dict.__setitem__(table, pos, seen)
        elif name.startswith("lemma_lookup"):
            table.found = set()

            table.__class__ = watched(type(table))


def cut(lookups):
    """lookups.bin of what was touched."""
    small = Lookups()
    for name in lookups.tables:
        table = lookups.get_table(name)
        if name in ("lemma_index", "lemma_exc"):
            kept = {}
            for pos, inner in table.items():
                kept[pos] = sorted(inner.found) if inner.list else inner.cut()
            small.add_table(name, kept)
        elif name.startswith("lemma_lookup"):
            small.add_table(name, {k: table[k] for k in sorted(table.found)})
        else:
            small.add_table(name, dict(table))
    return small.to_bytes()


def english(out, model, texts, many):
    nlp = spacy.load(model)
    rules = nlp.get_pipe("attribute_ruler")
    lemmatizer = nlp.get_pipe("lemmatizer")
    if many:
        lookups = lemmatizer.lookups.to_bytes()
    else:
        watch(lemmatizer.lookups)
    lines = []
    before = nlp.select_pipes(disable=["attribute_ruler", "lemmatizer"])
    docs = list(nlp.pipe(texts))
    before.restore()
    for doc in docs:
        given = annotation(doc, "tag", "dep", "head", "sent")
        lemmatizer(rules(doc))
        done = annotation(doc, "tag", "pos", "morph", "lemma", "left", "right")
        done["chunks"] = [[c.start, c.end] for c in doc.noun_chunks]
        lines.append(line(doc, given, done))
    steps = [
        ["attribute_ruler", "en.patterns"],
        ["lemmatizer", "en.lookups", {"mode": "rule"}],
    ]
    write(
        out, "en", "en", steps, lines,
        en__patterns=srsly.msgpack_dumps(rules.patterns),
        en__lookups=lookups if many else cut(lemmatizer.lookups),
    )


# ---- lemmatizers --------------------------------------------------------------------------------

LEMMATIZERS = {
    "bn": "rule", "ca": "rule", "de": "lookup", "el": "rule", "en": "lookup", "es": "rule",
    "fa": "rule", "fr": "rule", "it": "pos_lookup", "mk": "rule", "nb": "rule", "nl": "rule",
    "nl_lookup": "lookup", "pl": "pos_lookup", "sv": "rule",
}  # fmt: skip
FEATS = {
    "Number": ["Sing", "Plur"], "Gender": ["Masc", "Fem"], "Mood": ["Ind", "Sub", "Imp", "Cnd"],
    "Tense": ["Pres", "Past", "Imp", "Fut"], "Person": ["1", "2", "3"],
    "VerbForm": ["Fin", "Inf", "Part", "Ger"], "PronType": ["Prs", "Art"], "Degree": ["Pos", "Cmp"],
}  # fmt: skip


def feats():
    names = rnd.sample(sorted(FEATS), rnd.randint(0, 5))
    return "|".join(f"{n}={rnd.choice(FEATS[n])}" for n in sorted(names))


def spanish_feats(lookups, pos):
    groups = lookups.get_table("lemma_rules_groups").get(pos.lower(), [])
    if not groups or rnd.random() < 0.2:
        return feats()
    some = list(rnd.choice(groups)[1])
    if pos == "VERB" and rnd.random() < 0.3:
        some.append("PronType=Prs")
    return "|".join(sorted(some))


def vocabulary(nlp, lookups, scale):
    """Words that the tables know, and inflected ones made by their rules turned round."""
    words = []
    for name in lookups.tables:
        table = lookups.get_table(name)
        if name.startswith("lemma_lookup"):
            keys = rnd.sample(sorted(table.keys()), min(300 * scale, len(table)))
            words += [nlp.vocab.strings[k] for k in keys if k in nlp.vocab.strings]
        elif name in ("lemma_index", "lemma_exc"):
            for inner in table.values():
                some = sorted(inner)
                words += rnd.sample(some, min(150 * scale, len(some)))
        elif name == "lemma_rules":
            for rules in table.values():
                for old, new in rules:
                    stem = rnd.choice(words) if words else "abc"
                    if new and stem.endswith(new):
                        words.append(stem[: len(stem) - len(new)] + old)
                    words.append(stem + old)
    return words


def lemmatizers(out, many):
    for name, mode in LEMMATIZERS.items():
        lang = name[:2]
        nlp = spacy.blank(lang)
        pipe = nlp.add_pipe("lemmatizer", config={"mode": mode})
        pipe.initialize()
        required, optional = pipe.get_lookups_config(mode)
        for s in strings_of(lang, required + optional):
            nlp.vocab.strings.add(s)
        words = vocabulary(nlp, pipe.lookups, 20 if many else 1)
        rnd.shuffle(words)
        words = words[: 20000 if many else 400]
        whole = pipe.lookups.to_bytes()
        watch(pipe.lookups)
        lines = []
        for at in range(0, len(words), 20):
            some = [w for w in words[at : at + 20] if w.strip() and "\n" not in w]
            some = [rnd.choice([w, w, w, w.title(), w.upper()]) for w in some]
            if lang == "es":
                extra = rnd.choice(["me", "lo", "nos", "se los", "te la", "os", ""]).replace(" ", "")
                some += [rnd.choice(some) + extra, "1.000,5", "3,14", "2.5"]
            if lang == "mk":
                some += [rnd.choice(some) + "јќи"]
            if lang == "pl":
                some += ["nie" + rnd.choice(some), "naj" + rnd.choice(some), "nienaj" + rnd.choice(some)]
            if lang == "it":
                some += ["l'", "un'", "gli", "d'", "alcun", "qualcun"]
            pos = [rnd.choice(POS + ["NOUN", "VERB", "ADJ"] * 4) for _ in some]
            if lang == "es":
                morphs = [spanish_feats(pipe.lookups, p) for p in pos]
            else:
                morphs = [feats() for _ in some]
            doc = Doc(nlp.vocab, words=some, pos=pos, morphs=morphs)
            given = annotation(doc, "pos", "morph", "sent")
            lines.append(line(pipe(doc), given, annotation(doc, "lemma")))
        file = f"lemma_{name}__lookups"
        step = ["lemmatizer", f"lemma_{name}.lookups", {"mode": mode}]
        write(out, f"lemma_{name}", lang, [step], lines, **{file: whole if many else cut(pipe.lookups)})


def strings_of(lang, tables):
    """The texts behind the ids of the tables' keys: from the files of spacy-lookups-data."""
    import spacy_lookups_data

    folder = Path(spacy_lookups_data.__file__).parent / "data"
    for table in tables:
        path = folder / f"{lang}_{table}.json.gz"
        if path.exists() and table.startswith("lemma_lookup"):
            yield from srsly.read_gzip_json(path)


# ---- noun chunks --------------------------------------------------------------------------------

CHUNKS = "ca da de el en es fa fi fr id it la ms nb nl pt sv tr".split()
DEPS = (
    "nsubj nsubj:pass nsubj:cop obj iobj dobj obl obl:agent obl:arg nmod nmod:poss nmod:gobj appos "
    "conj amod det det:poss flat flat:name flat:foreign fixed compound compound:nn nummod punct cc "
    "case advmod goeswith pobj pcomp attr dative oprd nsubjpass sb oa da nk mo ag cj pd og app "
    "orphan dislocated"
).split()


def tree(n, projective):
    """Heads of n tokens with one root or more."""
    heads = list(range(n))
    if not projective:
        for i in range(1, n):
            heads[i] = rnd.randrange(i)
        order = list(range(n))
        rnd.shuffle(order)
        new = list(range(n))
        for i in range(n):
            new[order[i]] = order[heads[i]]
        return new

    def build(a, b, head):
        if a >= b:
            return
        root = rnd.randrange(a, b)
        heads[root] = root if head is None else head
        cut = rnd.randint(a, root)
        build(a, cut, root)
        build(cut, root, root)
        cut = rnd.randint(root + 1, b)
        build(root + 1, cut, root)
        build(cut, b, root)

    build(0, n, None)
    return heads


def noun_chunks(out, many):
    lines = []
    for lang in CHUNKS:
        nlp = spacy.blank(lang)
        for _ in range(2000 if many else 12):
            n = rnd.randint(1, 24)
            heads = tree(n, rnd.random() < 0.8)
            some = rnd.sample(DEPS, 8) + ["conj", "nsubj", "obj", "nmod", "sb", "nk", "dobj"]
            deps = ["ROOT" if heads[i] == i else rnd.choice(some) for i in range(n)]
            pos = [rnd.choice(["NOUN", "NOUN", "PROPN", "PRON", *POS]) for _ in range(n)]
            doc = Doc(nlp.vocab, words=["w"] * n, pos=pos, deps=deps, heads=heads)
            given = annotation(doc, "pos", "dep", "head")
            try:
                chunks = [[c.start, c.end] for c in doc.noun_chunks if c.end > c.start]
            except IndexError:  # a span that ends before it begins
                continue
            done = annotation(doc, "left", "right")
            done["chunks"] = chunks
            lines.append(line(doc, given, done, lang=lang))
    write(out, "noun_chunks", "en", [], lines)


# ---- patterns -----------------------------------------------------------------------------------

WORDS = "a b c A The the 42 3.5 , . ! ( ) New York new york Über straße running 's $ http://x.de ÀÉ".split()
TAGS = ["NN", "NNS", "VB", ""]


def random_doc(nlp):
    n = rnd.randint(1, 10)
    words = [rnd.choice(WORDS) for _ in range(n)]
    doc = Doc(
        nlp.vocab, words=words, tags=["NN"] + [rnd.choice(TAGS) for _ in words[1:]],
        pos=["NOUN"] + [rnd.choice(["NOUN", "VERB", "ADJ", ""]) for _ in words[1:]],
        morphs=["Number=Sing"] + [feats() for _ in words[1:]],
        deps=[rnd.choice(["nsubj", "det", "ROOT"]) for _ in words], heads=[0] * n,
        lemmas=["a"] + [rnd.choice(["a", "b", "run", ""]) for _ in words[1:]],
    )  # fmt: skip
    return doc


def random_value():
    kind = rnd.randrange(16)
    sets = ["IN", "NOT_IN"]
    if kind == 0:
        return {"TAG": rnd.choice(TAGS)}
    if kind == 1:
        return {"LOWER": {rnd.choice(sets): [w.lower() for w in rnd.sample(WORDS, 3)]}}
    if kind == 2:
        return {rnd.choice(["IS_ALPHA", "IS_PUNCT", "LIKE_NUM", "IS_TITLE", "IS_UPPER", "LIKE_URL",
                            "IS_STOP", "IS_DIGIT", "IS_LOWER", "IS_ASCII", "IS_CURRENCY", "SPACY",
                            "IS_SENT_START", "IS_BRACKET", "IS_SPACE"]): rnd.choice([True, False])}  # fmt: skip
    if kind == 3:
        return {"TEXT": {"REGEX": rnd.choice(["^[a-z]+$", "e", r"\d", "[A-Z]", "ß|ü", "^.$", "k$"])}}
    if kind == 4:
        return {"LENGTH": {rnd.choice(["==", "!=", ">=", "<=", ">", "<"]): rnd.choice([1, 2, 3, 2.5])}}
    if kind == 5:
        return {"MORPH": {rnd.choice(["IS_SUBSET", "IS_SUPERSET", "INTERSECTS", "IN", "NOT_IN"]): [
            f"{k}={rnd.choice(v)}" for k, v in rnd.sample(sorted(FEATS.items()), rnd.randint(0, 4))]}}  # fmt: skip
    if kind == 6:
        return {"LOWER": {rnd.choice(["FUZZY", "FUZZY1", "FUZZY3"]): rnd.choice(["york", "strasse", "runing", "the"])}}
    if kind == 7:
        return {"TEXT": {"FUZZY1": {rnd.choice(sets): ["york", "Teh", "b"]}}}
    if kind == 8:
        return {"NORM": {"REGEX": {rnd.choice(sets): ["^n", "^t.*e$", "s"]}}}
    if kind == 9:
        return {"POS": rnd.choice(["NOUN", "VERB"]), "TAG": {rnd.choice(sets): rnd.sample(TAGS, 2)}}
    if kind == 10:
        return {"SHAPE": rnd.choice(["x", "Xxx", "Xxxx", "xxx", "dd", "X"])}
    if kind == 11:
        return {"LEMMA": {rnd.choice(sets + ["IS_SUBSET", "INTERSECTS"]): ["a", "run"]}}
    if kind == 12:
        return {"DEP": rnd.choice(["nsubj", "det", "ROOT"])}
    if kind == 13:
        return {"PREFIX": rnd.choice(["a", "N", "t"])} if rnd.random() < 0.5 else {"SUFFIX": rnd.choice(["ork", "he", "a"])}
    return {} if kind == 14 else {"ORTH": rnd.choice(WORDS)}


def random_pattern():
    tokens = []
    for _ in range(rnd.randint(1, 4)):
        token = random_value()
        if rnd.random() < 0.6:
            token = {**token, "OP": rnd.choice(["!", "?", "*", "+", "1", "{2}", "{1,2}", "{,2}", "{1,}", "{0,1}"])}
        tokens.append(token)
    return tokens


def patterns(out, many):
    nlp = spacy.blank("en")
    lines = []
    for _ in range(20000 if many else 200):
        doc = random_doc(nlp)
        some = [random_pattern() for _ in range(rnd.randint(1, 3))]
        matcher = Matcher(nlp.vocab, validate=False)
        for i, p in enumerate(some):
            matcher.add(i, [p])
        found = sorted(set(matcher(doc, allow_missing=True)))
        given = annotation(doc, "tag", "pos", "morph", "dep", "head", "lemma", "sent")
        lines.append(line(doc, given, {"matches": [list(m) for m in found]}, steps=[["matcher", some]]))
    write(out, "patterns", "en", [], lines)


# ---- entities -----------------------------------------------------------------------------------


def with_entities(nlp):
    doc = random_doc(nlp)
    ents = []
    at = 0
    while at < len(doc):
        n = rnd.randint(1, 3)
        if rnd.random() < 0.3 and at + n <= len(doc):
            ents.append(spacy.tokens.Span(doc, at, at + n, label=rnd.choice(["ORG", "GPE"])))
        at += n
    doc.ents = ents
    return doc


def ambiguous(pipe, doc):
    """Several labels for the same tokens: spaCy's choice follows the order of a Python set."""
    spans = [(m[1], m[2]) for m in set(list(pipe.matcher(doc)) + list(pipe.phrase_matcher(doc)))]
    return len(spans) != len(set(spans))


def rulers(out, many):
    nlp = spacy.blank("en")
    nlp.tokenizer = Tokenizer(nlp.vocab)  # splits at spaces only
    lines = []
    for i in range(5000 if many else 150):
        doc = with_entities(nlp)
        kind = "span_ruler" if i % 3 == 2 else "entity_ruler"
        entries = []
        for _ in range(rnd.randint(1, 5)):
            text = " ".join(rnd.choice(WORDS) for _ in range(rnd.randint(1, 3)))
            entry = {"label": rnd.choice(["ORG", "GPE", "X"]), "pattern": rnd.choice([text, random_pattern()])}
            if rnd.random() < 0.4:
                entry["id"] = rnd.choice(["one", "two"])
            entries.append(entry)
        attr = rnd.choice([None, "LOWER", "SHAPE", "IS_ALPHA"])
        overwrite = rnd.random() < 0.5
        if kind == "entity_ruler":
            config = {"phrase_matcher_attr": attr, "overwrite_ents": overwrite}
        else:
            config = {
                "phrase_matcher_attr": attr, "overwrite": overwrite, "annotate_ents": True,
                "ents_filter": {"@misc": rnd.choice([
                    "spacy.first_longest_spans_filter.v1", "spacy.prioritize_new_ents_filter.v1",
                    "spacy.prioritize_existing_ents_filter.v1"])},
            }  # fmt: skip
        pipe = nlp.create_pipe(kind, config=config)
        pipe.add_patterns(entries)
        given = annotation(doc, "tag", "pos", "morph", "dep", "head", "lemma", "sent", "iob", "type")
        if kind == "entity_ruler" and ambiguous(pipe, doc):
            continue
        pipe(doc)
        ents = [[e.start, e.end, e.label_, e.id_] for e in doc.ents]
        lines.append(line(doc, given, {"ents": ents, **annotation(doc, "iob")}, steps=[[kind, entries, config]]))
    write(out, "rulers", "en", [], lines, plain__tokenizer=nlp.tokenizer.to_bytes(exclude=["vocab"]))


def sentences(out, texts):
    nlp = spacy.blank("en")
    lines = []
    for i, text in enumerate(texts + ["好。我们走！ 再见", "\"Yes!\" he said. ... \n Well?! No", "."]):
        config = rnd.choice([{}, {"punct_chars": ["!", "..."]}, {"overwrite": True}])
        doc = nlp(text)
        if len(doc) > 3 and i % 2:
            doc[2].is_sent_start = True
            doc[3].is_sent_start = False
        given = annotation(doc, "sent")
        nlp.create_pipe("sentencizer", config=config)(doc)
        lines.append(line(doc, given, annotation(doc, "sent"), steps=[["sentencizer", config]]))
    write(out, "sentences", "en", [], lines)


# ---- other tokens -------------------------------------------------------------------------------


def retokenizers(out, many):
    lines = []
    nlp = spacy.blank("en")
    for _ in range(5000 if many else 120):
        n = rnd.randint(1, 12)
        heads = tree(n, rnd.random() < 0.8)
        words = [rnd.choice(WORDS) for _ in range(n)]
        some = ["nsubj", "dobj", "conj", "det", "subtok", "subtok", "pobj"]
        doc = Doc(
            nlp.vocab, words=words, spaces=[rnd.random() < 0.7 for _ in words],
            tags=[rnd.choice(TAGS) for _ in words], pos=[rnd.choice(["NOUN", "PRON", "VERB"]) for _ in words],
            deps=["ROOT" if heads[i] == i else rnd.choice(some) for i in range(n)], heads=heads,
            morphs=[feats() for _ in words], lemmas=[rnd.choice(["a", "b", "run", ""]) for _ in words],
        )  # fmt: skip
        if rnd.random() < 0.2:  # nothing but tokens
            doc = Doc(nlp.vocab, words=words, spaces=[rnd.random() < 0.7 for _ in words])
        ents = []
        at = 0
        while at < n:
            size = rnd.randint(1, 4)
            if rnd.random() < 0.4 and at + size <= n:
                ents.append(spacy.tokens.Span(doc, at, at + size, label=rnd.choice(["ORG", "GPE"])))
            at += size
        doc.ents = ents
        parsed = doc.has_annotation("DEP")
        fields = ["tag", "pos", "morph", "lemma", "sent", "iob", "type"] + (["dep", "head"] if parsed else [])
        given = annotation(doc, *fields)
        first = line(doc, given, {})
        kinds = ["merge_entities", "token_splitter"] + (["merge_noun_chunks", "merge_subtokens"] if parsed else [])
        kind = rnd.choice(kinds)
        config = {"min_length": rnd.randint(2, 4), "split_length": rnd.randint(1, 3)} if kind == "token_splitter" else {}
        try:
            doc = nlp.create_pipe(kind, config=config)(doc)
        except ValueError:  # chunks that overlap
            continue
        done = annotation(doc, *[f for f in fields if f != "morph"])
        done["text"] = [t.text for t in doc]
        done["space"] = [int(bool(t.whitespace_)) for t in doc]
        first["out"] = done
        first["steps"] = [["retokenizer", {"factory": kind, **config}]]
        lines.append(first)
    write(out, "retokenizers", "en", [], lines)


# ---- edit trees and features --------------------------------------------------------------------

PAIRS = [
    ("gegangen", "gehen"), ("ging", "gehen"), ("Häuser", "Haus"), ("Büchern", "Buch"), ("am", "an"),
    ("schönsten", "schön"), ("aufgemacht", "aufmachen"), ("ist", "sein"), ("a", "a"), ("größer", "groß"),
    ("lief", "laufen"), ("läuft", "laufen"), ("🙂x", "x"), ("", ""), ("ungesehenen", "ungesehen"),
]  # fmt: skip


def edit_trees(out, many):
    nlp = spacy.blank("de")
    lines = []
    for top_k in (1, 3, 25):
        backoff = rnd.choice(["orth", "lower", None])
        pipe = nlp.create_pipe("trainable_lemmatizer", config={"top_k": top_k, "backoff": backoff})
        trees = pipe.trees
        labels = sorted({trees.add(a, b) for a, b in PAIRS})
        rnd.shuffle(labels)
        pipe.cfg["labels"] = labels
        data = trees.to_bytes()
        (out / f"edit_{top_k}.trees").write_bytes(data)
        texts = sorted({s for n in srsly.msgpack_loads(data)["trees"] for k in ("orig", "subst")
                        if k in n for s in [nlp.vocab.strings[n[k]]]})  # fmt: skip
        for _ in range(300 if many else 8):
            words = [rnd.choice([a, b, a + "en", "ge" + a, a.upper()]) or "x" for a, b in rnd.sample(PAIRS, 10)]
            doc = Doc(nlp.vocab, words=words)
            scores = [[rnd.randint(0, 30) / 4 for _ in labels] for _ in words]
            if top_k > 20:  # where spaCy sorts, and leaves equal scores in any order
                scores = [rnd.sample(range(100), len(labels)) for _ in words]
            def predict(docs):
                return [numpy.asarray(scores, dtype="f")]

            pipe.model = type("M", (), {"predict": staticmethod(predict), "ops": pipe.model.ops})()
            pipe.set_annotations([doc], pipe.predict([doc]))
            config = {"top_k": top_k, "backoff": backoff}
            step = ["edit_trees", f"edit_{top_k}.trees", config, labels, texts, scores]
            lines.append(line(doc, {}, annotation(doc, "lemma"), steps=[step]))
    write(out, "edit_trees", "de", [], lines)


def features(out):
    morphology = spacy.blank("en").vocab.morphology
    cases = ["", "_", "Number=Sing", "Case=Nom|Number=Sing", "Number=Sing|Case=Nom", "A=c,b,a|A=z",
             "Z=1|a=2|B=3", "A=", "=x", "A=b|", "A", "A=b=c", "ä=é,e|a=b", "A=b,,a", "A=b|A=c|Aa=d"]  # fmt: skip
    lines = []
    for case in cases:
        try:
            lines.append({"feats": case, "norm": morphology.strings[morphology.add(case)]})
        except ValueError:
            lines.append({"feats": case, "norm": None})
    write(out, "features", "en", [], lines)


TEXTS = [
    "Apple is looking at buying U.K. startup for $1 billion.",
    "Autonomous cars shift insurance liability toward manufacturers; they weren't ready.",
    "San Francisco considers banning sidewalk delivery robots, but who's going to stop them?",
    "London is a big city in the United Kingdom. It's gotta be seen, isn't it?",
    "Where are you? I ain't got the keys, y'all. C'm on, let's go!",
    "There were better mice in the worst houses, and the geese's feathers lay everywhere.",
    "She gave me three of her finest books, which I had already been reading for years.",
    "The children were singing, dancing and running while the oxen stood nearby.",
    "He'd have liked it more had he not lost his men, women and wolves.",
    "Whoever codes well writes fewer lines; the axes and matrices are gonna change.",
    "What the 42nd regiment's officers saw, heard and wrote was kept secret (or so I'm told).",
    "   Leading spaces,  double  spaces\n\nand new lines should be handled too.",
    "To be fair, the data aren't the problem: analyses of 1,000 crises show that.",
    "Most people's lives aren't easier than yours, I'd say; you can't always win.",
    "Feeling tired, the younger of the two knelt, wept, then slept until it rained.",
]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("out", type=Path)
    args.add_argument("--model")
    args.add_argument("--texts", type=Path, nargs="*", default=[])
    args.add_argument("--only", nargs="*")
    args.add_argument("--many", action="store_true")
    a = args.parse_args()
    warnings.simplefilter("ignore")
    a.out.mkdir(parents=True, exist_ok=True)
    more = [p for t in a.texts for p in t.read_text("utf8").split("\n\n") if p.strip()]
    parts = {
        "en": lambda: english(a.out, a.model, TEXTS + more, a.many),
        "lemmatizers": lambda: lemmatizers(a.out, a.many),
        "noun_chunks": lambda: noun_chunks(a.out, a.many),
        "patterns": lambda: patterns(a.out, a.many),
        "rulers": lambda: rulers(a.out, a.many),
        "sentences": lambda: sentences(a.out, TEXTS + more),
        "edit_trees": lambda: edit_trees(a.out, a.many),
        "retokenizers": lambda: retokenizers(a.out, a.many),
        "features": lambda: features(a.out),
    }
    for name, part in parts.items():
        if name in (a.only or parts) and (a.model or name != "en"):
            rnd.seed(name)
            part()


if __name__ == "__main__":
    main()
