#!/usr/bin/env python3
"""Makes tests/golden/writers: results as openai-whisper 20250625's own writers write them.

usage: python tools/golden_writers.py    (in an environment with openai-whisper==20250625)

tests/unit/cli/test_output.c reads NAME.json back and must write all five files again, byte for byte.
"""
import os
import random
import struct

from whisper.utils import get_writer

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "writers")
TEXTS = [
    " Hello there.", " arrow --> and ---> and -->-->", "\ta\tb\t ", " naïve Größe 漢字 😀 \U0010ffff",
    "", "   ", " quote \" slash \\ / control \x01\x1f\x7f\x80 line\nfeed\r\b\f",
    "\u00a0\u3000\u2028 wide spaces \x1c\x85", "\u200b zero width stays \ufeff", " ends -", "->",
]
TIMES = [0.0, 0.0005, 0.0015, 0.0025, 0.02, 1.005, 2.675, 5.42, 29.98, 59.9995, 60.0, 61.24,
         3599.9994, 3599.9996, 3600.0, 7325.5, 360000.25]


def segment(i, text, start, end, **more):
    return {"id": i, "seek": i * 3000, "start": start, "end": end, "text": text,
            "tokens": more.get("tokens", [50364, 2425, 50414]), "temperature": more.get("t", 0.0),
            "avg_logprob": more.get("a", -0.25), "compression_ratio": more.get("c", 1.0),
            "no_speech_prob": more.get("n", 1e-05)}


def numbers():
    r = random.Random(7)
    fixed = [0.1, 1 / 3, 1e16, 9999999999999998.0, 1e15, 123456789012345680.0, 1e-4, 9.99e-5, 5e-324,
             1.7976931348623157e308, 2.2250738585072014e-308, 0.6000000000000001, 100.0, -0.0, 1e22,
             -1.5, 12345.678, 0.00012345, 1e100, 4503599627370497.5]
    while len(fixed) < 400:
        x = struct.unpack("<d", struct.pack("<Q", r.getrandbits(64)))[0]
        if x == x and abs(x) != float("inf"):
            fixed.append(x)
        fixed.append(-r.random() * 10 ** r.randint(-6, 3))
        # an f32 widened, as torch's .item() gives
        fixed.append(struct.unpack("<f", struct.pack("<f", r.random()))[0])
    return fixed


def main():
    os.makedirs(OUT, exist_ok=True)
    n = numbers()
    cases = {
        "empty": {"text": "", "segments": [], "language": "en"},
        "texts": {"text": "".join(TEXTS), "segments": [
            segment(i, t, i * 2.0, i * 2.0 + 1.5, tokens=[] if i == 4 else [50364, i])
            for i, t in enumerate(TEXTS)], "language": "de"},
        "times": {"text": " x" * len(TIMES), "segments": [
            segment(i, " x", t, t + 0.0005) for i, t in enumerate(TIMES)], "language": "zh"},
        "numbers": {"text": " n", "segments": [
            segment(i, " n", 0.0, 1.0, t=n[i], a=n[i + 1], c=n[i + 2], n=n[i + 3])
            for i in range(0, len(n) - 3, 4)], "language": "haw"},
    }
    for name, result in cases.items():
        get_writer("all", OUT)(result, name + ".wav")


if __name__ == "__main__":
    main()
