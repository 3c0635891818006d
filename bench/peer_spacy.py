#!/usr/bin/env python3
"""What bench_spacy measures, by spaCy itself in one thread; prints one JSON object.

    peer_spacy.py pipe MODEL TEXTS BATCH
    peer_spacy.py one MODEL TEXT
"""
import json
import os
import sys
import time

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


model = spacy.load(sys.argv[2])
result = pipe(model, sys.argv[3], int(sys.argv[4])) if sys.argv[1] == "pipe" else one(
    model, sys.argv[3])
print(json.dumps({"who": f"spaCy {spacy.__version__}", **result}))
