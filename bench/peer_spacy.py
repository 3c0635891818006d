#!/usr/bin/env python3
"""What bench_spacy measures, by spaCy itself in one thread; prints one JSON object.

    peer_spacy.py pipe MODEL TEXTS BATCH
    peer_spacy.py one MODEL TEXT
    peer_spacy.py threads MODEL TEXTS N      N threads share the texts, a document a call
    peer_spacy.py processes MODEL TEXTS N    N processes have a part of the texts each
    peer_spacy.py start MODEL TEXT           from the process's start to its first document
"""
import json
import multiprocessing
import os
import sys
import threading
import time

began = time.perf_counter()

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS"):
    os.environ[name] = "1"
import spacy  # noqa: E402, after the environment


def pipe(nlp, path, batch):
    with open(path, encoding="utf-8") as lines:
        texts = [line.rstrip("\n") for line in lines]
    best, tokens = 1e9, 0
    for i in range(4):
        start = time.perf_counter()
        tokens = sum(len(doc) for doc in nlp.pipe(texts, batch_size=batch))
        if i:
            best = min(best, time.perf_counter() - start)
    return {"documents": len(texts), "tokens": tokens, "tokens_s": round(tokens / best)}


def one(nlp, text):
    took = []
    for _ in range(300):
        start = time.perf_counter()
        doc = nlp(text)
        took.append((time.perf_counter() - start) * 1e3)
    took.sort()
    return {"tokens": len(doc), "p50_ms": took[150], "p95_ms": took[285]}


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [line.rstrip("\n") for line in lines]


def together(nlp, path, n, kind):
    """The better of two passes, starting the workers not counted."""
    texts = read(path)
    start, counts = kind.Barrier(n + 1), []

    def work(mine):
        for _ in range(2):
            start.wait()
            for text in mine:
                nlp(text)
            start.wait()

    make = threading.Thread if kind is threading else kind.Process
    workers = [make(target=work, args=(texts[i::n],)) for i in range(n)]
    for w in workers:
        w.start()
    for _ in range(2):
        start.wait()
        t = time.perf_counter()
        start.wait()
        counts.append(time.perf_counter() - t)
    for w in workers:
        w.join()
    return {"documents": len(texts), "workers": n, "documents_s": round(len(texts) / min(counts))}


def main():
    mode, path = sys.argv[1], sys.argv[2]
    model = spacy.load(path)
    if mode == "pipe":
        result = pipe(model, sys.argv[3], int(sys.argv[4]))
    elif mode == "one":
        result = one(model, sys.argv[3])
    elif mode == "start":
        model(sys.argv[3])
        result = {"start_to_first_ms": round((time.perf_counter() - began) * 1e3, 1)}
    else:
        kind = threading if mode == "threads" else multiprocessing.get_context("fork")
        result = together(model, sys.argv[3], int(sys.argv[4]), kind)
    print(json.dumps({"who": f"spaCy {spacy.__version__} {mode}", **result}))


main()
