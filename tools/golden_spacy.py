#!/usr/bin/env python3
"""Makes golden documents with spaCy itself: JSON lines that tests/lib/spacy_docs.h reads.

    golden_spacy.py MODEL TEXTS OUT       a pipeline, a file of JSON strings (one a line), or of
                                          {"text", "options": {"components", "enable", "exclude"}}
    golden_spacy.py --old OLD.jsonl OUT   from documents in the form of to_json and token attributes

The first line says what made it. Each other line is a document:
  {"text", "tokens": [[text, space, tag, pos, morph, lemma, dep, head, iob, ent, start], ...],
   "chunks": [[begin, end], ...], "row": [the tensor's first row], "sum", "max": of all of it}
Options go along: they are those of Berth's requests.
"""
import json
import sys


def numbers(tensor):
    if tensor is None or not len(tensor):  # doc_cleaner forgets it
        return {}
    return {"row": [float(f"{v:.8g}") for v in tensor[0].tolist()],
            "sum": float(tensor.astype("float64").sum()), "max": float(abs(tensor).max())}


def document(doc):
    tokens = [[t.text, bool(t.whitespace_), t.tag_, t.pos_, str(t.morph), t.lemma_, t.dep_,
               t.head.i, t.ent_iob_, t.ent_type_, int(bool(t.is_sent_start))] for t in doc]
    try:
        chunks = [[c.start, c.end] for c in doc.noun_chunks] if doc.has_annotation("DEP") else []
    except (NotImplementedError, ValueError):
        chunks = []
    return {"text": doc.text, "tokens": tokens, "chunks": chunks, **numbers(doc.tensor)}


def names(options, key):
    return [n for n in options.get(key, "").split(",") if n]


def pipes(nlp, options):
    """What a request with these options runs."""
    chosen = names(options, "components") or list(nlp.pipe_names)
    chosen += names(options, "enable")
    without = names(options, "exclude")
    listens = {"tagger", "parser", "morphologizer"}
    if listens & set(chosen):
        chosen.append("tok2vec")
    return [n for n in nlp.component_names if n in chosen and n not in without]


def from_spacy(model, texts, out):
    import spacy
    import thinc
    nlp = spacy.load(model)
    print(json.dumps({"spacy": spacy.__version__, "thinc": thinc.__version__,
                      "model": f"{nlp.meta['lang']}_{nlp.meta['name']} {nlp.meta['version']}"}),
          file=out)
    n, usual = 0, set(nlp.pipe_names)
    for line in texts:
        item = json.loads(line)
        item = {"text": item} if isinstance(item, str) else item
        wanted = pipes(nlp, item.get("options", {}))
        with nlp.select_pipes(enable=wanted):
            for name in set(wanted) - set(nlp.pipe_names):
                nlp.enable_pipe(name)
            doc = nlp(item["text"])
        for name in set(nlp.pipe_names) - usual:
            nlp.disable_pipe(name)
        n += len(doc)
        made = document(doc)
        if "options" in item:
            made["options"] = item["options"]
        print(json.dumps(made, ensure_ascii=False, separators=(",", ":")), file=out)
    print(n, "tokens", file=sys.stderr)


def from_old(lines, out):
    print(json.dumps({"spacy": "3.6.1", "thinc": "8.1.7"}), file=out)
    for line in lines:
        old = json.loads(line)
        tokens = [[t["t"], t["ws"], j.get("tag", ""), j.get("pos", ""), j.get("morph", ""),
                   j.get("lemma", ""), j.get("dep", ""), j.get("head", j["id"]), t["iob"],
                   t["ent"], t["ss"]] for t, j in zip(old["tok"], old["json"]["tokens"])]
        new = {"text": old["text"], "tokens": tokens,
               "chunks": [[c["start"], c["end"]] if isinstance(c, dict) else c[:2]
                          for c in old.get("noun_chunks") or []]}
        if "tensor_row0" in old:
            new |= {"row": old["tensor_row0"], "sum": old["tensor_sum"],
                    "max": old["tensor_absmax"]}
        print(json.dumps(new, ensure_ascii=False, separators=(",", ":")), file=out)


if __name__ == "__main__":
    if sys.argv[1] == "--old":
        with open(sys.argv[2]) as lines, open(sys.argv[3], "w") as out:
            from_old(lines, out)
    else:
        with open(sys.argv[2]) as texts, open(sys.argv[3], "w") as out:
            from_spacy(sys.argv[1], texts, out)
