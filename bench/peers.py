#!/usr/bin/env python3
"""Whisper in other people's libraries, measured like bench_whisper.c. Prints one JSON object.

usage: peers.py PEER stream MODEL FILE
       peers.py PEER callers MODEL N FILE...
       peers.py PEER first MODEL FILE         (prints the text as soon as there is some)

PEER: openai                     openai-whisper, f32; MODEL is a checkpoint (.pt)
      faster:TYPE:WORKERS:THREADS   faster-whisper; MODEL is a CTranslate2 folder; TYPE float32, int8

Two threads. Language given, greedy, no second attempts; "callers" without conditioning on the text so
far. Loading and a first request are not counted, nor reading the file.
"""
import json
import resource
import sys
import threading
import time
import wave

import numpy as np

RATE = 16000


def read_wav(path):
    with wave.open(path, "rb") as w:
        assert (w.getframerate(), w.getnchannels(), w.getsampwidth()) == (RATE, 1, 2), path
        return np.frombuffer(w.readframes(w.getnframes()), np.int16).astype(np.float32) / 32768.0


def open_openai(model):
    import torch
    import whisper
    torch.set_num_threads(2)
    whole = whisper.load_model(model, device="cpu")

    def transcribe(audio, conditioned):
        return whole.transcribe(audio, language="en", temperature=0.0, fp16=False,
                                condition_on_previous_text=conditioned)["segments"]

    def tokens(segment):
        return len(segment["tokens"])

    def text(segment):
        return segment["text"]

    return transcribe, tokens, text


def open_faster(model, compute_type, workers, threads):
    from faster_whisper import WhisperModel
    whole = WhisperModel(model, device="cpu", compute_type=compute_type, num_workers=int(workers),
                         cpu_threads=int(threads))

    def transcribe(audio, conditioned):
        segments, _ = whole.transcribe(audio, language="en", temperature=0.0, beam_size=1,
                                       condition_on_previous_text=conditioned)
        return segments  # a generator that does the work

    def tokens(segment):
        return len(segment.tokens)

    def text(segment):
        return segment.text

    return transcribe, tokens, text


def open_peer(peer, model):
    name, *rest = peer.split(":")
    return open_openai(model) if name == "openai" else open_faster(model, *rest)


def run(library, files, n_callers, conditioned):
    transcribe, tokens, _ = library
    sounds = [read_wav(f) for f in files]
    queue, lock, latencies, total = list(sounds), threading.Lock(), [], [0]

    def caller():
        while True:
            with lock:
                if not queue:
                    return
                audio = queue.pop(0)
            start = time.perf_counter()
            n = sum(tokens(s) for s in transcribe(audio, conditioned))
            taken = time.perf_counter() - start
            with lock:
                latencies.append(taken)
                total[0] += n

    list(transcribe(sounds[0], conditioned))  # not counted
    threads = [threading.Thread(target=caller) for _ in range(n_callers)]
    start = time.perf_counter()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wall = time.perf_counter() - start
    latencies.sort()

    def percentile(p):
        return round(latencies[min(int(p * len(latencies)), len(latencies) - 1)], 4)

    return {"wall_s": round(wall, 4), "audio_s": sum(len(s) for s in sounds) / RATE,
            "requests": len(sounds), "tokens": total[0], "p50_s": percentile(0.5),
            "p95_s": percentile(0.95),
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def main(args):
    if len(args) < 4 or args[1] not in ("stream", "callers", "first"):
        sys.exit(__doc__)
    peer, mode, model = args[:3]
    library = open_peer(peer, model)
    if mode == "first":
        transcribe, _, text = library
        for s in transcribe(read_wav(args[3]), True):
            print(text(s), flush=True)
        return
    if mode == "stream":
        result = run(library, args[3:4], 1, True)
    else:
        result = run(library, args[4:], int(args[3]), False)
    print(json.dumps({"who": peer, **result}))


if __name__ == "__main__":
    main(sys.argv[1:])
