#!/usr/bin/env python3
"""Documents of spaCy, and what spaCy makes of them: Doc.to_json() and displaCy's drawings.

usage: golden_spacy_docs.py MODEL_FOLDER OUTPUT_FOLDER

Each file has the document as berthd sends it ("line") and the expected texts. Needs spacy 3.8.7; MODEL_FOLDER is
that of en_core_web_sm 3.8.0.
"""
import json
import os
import sys

import spacy
from spacy import displacy
from spacy.attrs import IDS

ID = "berth-0"
FLAGS = ["is_alpha", "is_ascii", "is_digit", "is_lower", "is_punct", "is_space", "is_title", "is_upper", "like_url",
         "like_num", "like_email", "is_stop", "is_bracket", "is_quote", "is_left_punct", "is_right_punct",
         "is_currency"]
STRINGS = {"text": "text", "norm": "norm_", "lower": "lower_", "shape": "shape_", "prefix": "prefix_",
           "suffix": "suffix_", "tag": "tag_", "pos": "pos_", "morph": "morph", "lemma": "lemma_", "dep": "dep_",
           "ent_id": "ent_id_", "ent_kb_id": "ent_kb_id_", "ent_type": "ent_type_"}
ORDER = ["text", "whitespace", "tag", "pos", "morph", "lemma", "dep", "head", "ent_iob", "ent_type", "ent_id",
         "ent_kb_id", "norm", "lower", "shape", "prefix", "suffix", "is_sent_start", *FLAGS]
CASES = {
    "plain": "Apple is looking at buying U.K. startup for $1 billion.",
    "two": 'Mr. O\'Neill said: "We\'ve won, (twice)!"\n\nThe <b>others</b> & I weren\'t there in 2019...',
    "mixed": "Im Café 😀 sagte José García: «日本語» – naïve… costs 5€ at https://example.com/a?b=c&d=e",
    "sentences": "It is late. We all go home now! Do you come too?",
    "one": "Hello",
    "blank": "  \n ",
    "nothing": "",
    "long": "The old man whom the children had seen walking his three small dogs along the river that "
            "runs past the mill, which nobody has used since 1950, told Mary Smith of the New York Times "
            "about it, though, on Monday, June 3rd.",
}
SUBSETS = {  # only these run
    "words": ("Who only wants words?", []),
    "tagged": ("Only tags are wanted here.", ["tok2vec", "tagger"]),
    "entities": ("Angela Merkel lives in Berlin.", ["ner"]),
}


def flags_of(t):
    return sum(1 << IDS[f.upper()] for f in FLAGS if getattr(t, f))


def has_parse(doc):
    return doc.has_annotation("DEP")


def line_of(doc, components):
    strings = {"": 0}

    def place(text):
        return strings.setdefault(text, len(strings))

    def column(values):
        return " ".join(map(str, values))

    data = doc.text.encode()
    bytes_before, n = [0], 0
    for ch in doc.text:
        n += len(ch.encode())
        bytes_before.append(n)
    tokens = {"end": [], "begin": [], "idx": [], "idx_end": [], "space": [], "flags": [], "head": [],
              "sent_start": [], "ent_iob": [], **{k: [] for k in STRINGS}}
    at = 0
    for t in doc:
        end = t.idx + len(t)
        tokens["begin"].append(bytes_before[t.idx] - bytes_before[at])
        tokens["end"].append(bytes_before[end] - bytes_before[t.idx])
        tokens["idx"].append(t.idx - at)
        tokens["idx_end"].append(len(t))
        tokens["space"].append(int(bool(t.whitespace_)))
        tokens["flags"].append(flags_of(t))
        tokens["head"].append(t.head.i - t.i)
        tokens["sent_start"].append({None: 0, True: 1, False: -1}[t.is_sent_start])
        tokens["ent_iob"].append(t.ent_iob)
        for key, attribute in STRINGS.items():
            tokens[key].append(place(str(getattr(t, attribute))))
        at = end

    def spans(list_of):
        return {"end": column(s.end for s in list_of), "begin": column(s.start for s in list_of),
                "label": column(place(s.label_) for s in list_of), "id": column(place(s.id_) for s in list_of),
                "kb_id": column(place(s.kb_id_) for s in list_of)}

    out = {"text": doc.text, "language": doc.lang_, "components": ",".join(components),
           "tokens": {k: column(v) for k, v in tokens.items()},
           "ents": spans(list(doc.ents)),
           "sents": spans(list(doc.sents) if doc.has_annotation("SENT_START") else []),
           "noun_chunks": spans(list(doc.noun_chunks) if has_parse(doc) else [])}
    assert len(data) == bytes_before[-1]
    out["strings"] = list(strings)
    return {"event": "item", "partial": False, "done": 1, "total": 1, "doc": out}


def moved(doc, count):
    """Doc.to_json() with offsets of another kind."""
    before, n = [0], 0
    for ch in doc.text:
        n += count(ch)
        before.append(n)
    data = doc.to_json()
    for key in ("ents", "sents", "tokens"):
        for x in data.get(key, []):
            x["start"], x["end"] = before[x["start"]], before[x["end"]]
    return json.dumps(data)


def everything(doc):
    data = {"text": doc.text}
    data["ents"] = [{"start": e.start_char, "end": e.end_char, "label": e.label_} for e in doc.ents]
    data["sents"] = [{"start": s.start_char, "end": s.end_char}
                     for s in (doc.sents if doc.has_annotation("SENT_START") else [])]
    data["noun_chunks"] = [{"start": s.start_char, "end": s.end_char}
                           for s in (doc.noun_chunks if has_parse(doc) else [])]
    data["tokens"] = []
    for t in doc:
        values = {"whitespace": t.whitespace_, "head": t.head.i, "ent_iob": t.ent_iob_,
                  "is_sent_start": t.is_sent_start, **{f: bool(getattr(t, f)) for f in FLAGS},
                  **{k: str(getattr(t, a)) for k, a in STRINGS.items()}}
        data["tokens"].append({"id": t.i, "start": t.idx, "end": t.idx + len(t), **{k: values[k] for k in ORDER}})
    return json.dumps(data)


class Fixed:
    hex = "berth"


def golden(doc, components):
    displacy.render.__globals__["DependencyRenderer"].render.__globals__["uuid"].uuid4 = lambda: Fixed
    return {
        "made_with": f"spacy {spacy.__version__}",
        "line": line_of(doc, components),
        "to_json": json.dumps(doc.to_json()),
        "utf8": moved(doc, lambda ch: len(ch.encode())),
        "utf16": moved(doc, lambda ch: len(ch.encode("utf-16-le")) // 2),
        "everything": everything(doc),
        "dep": displacy.render(doc, style="dep", jupyter=False),
        "ent": displacy.render(doc, style="ent", jupyter=False),
        "dep_page": displacy.render(doc, style="dep", jupyter=False, page=True),
        "ent_page": displacy.render(doc, style="ent", jupyter=False, page=True),
    }


def main(model, out):
    nlp = spacy.load(model)
    os.makedirs(out, exist_ok=True)
    cases = [(name, text, nlp.pipe_names) for name, text in CASES.items()]
    cases += [(name, text, components) for name, (text, components) in SUBSETS.items()]
    for name, text, components in cases:
        with nlp.select_pipes(enable=components):
            doc = nlp(text)
        with open(f"{out}/{name}.json", "w") as file:
            json.dump(golden(doc, components), file, indent=1)
            file.write("\n")


main(*sys.argv[1:])
