#!/usr/bin/env python3
"""Compares Berth's byte-level BPE with tiktoken's on odd strings, and records some of them.

    check_bpe.py [--n 20000] [--seed 1] [--tokenizer-json FILE] [--record tests/data/bpe.json]

Needs openai-whisper (for its vocabularies, under the same names as in tests/data) and a C compiler:
src/text is compiled into a shared object of its own. With --tokenizer-json its ids are compared too.
"""
import argparse
import ctypes
import json
import os
import platform
import random
import subprocess
import sys
import tempfile

import tiktoken
from whisper.tokenizer import get_encoding

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

NASTY = [
    "", " ", "  ", "   x", "\n", "\r\n", " \n ", "\t\t a", "\u001c", "a\u001cb", "\u001c \u001f x", "\x85", "a\x85b",
    "\u180e", "a\u180e b", " \u180e", "\u200b", "\ufeff", "\u00a0x", "x\u00a0", "\u3000", "\u3000\u3000x", "\u2028\u2029",
    "'", "''", "'s", "''s", "'S", "'re", "'rex", "'ll've'd'm't", " 's", "don't", "DON'T", "it\u2019s", "x's's", "'\n",
    "\0", "a\0b", "\x7f", "\u0080", "\uffff", "\ufffd", "\U0010ffff", "\ue000", "\ud7ff",
    "0", "00", "1234567890", "1,000.5", "\u0661\u0662\u0663", "\u2167", "\u00bd", "\u4e00\u4e8c", "\u3007", "a1b2", "1a", "\u00b2",
    "\U00031350\u4e00", "\u4e00\U0002ebf0", "\U000105c0\U00010d40", "\U0001e4d0a1\U0001e4f0", "\U00010d4a1",
    "e\u0301", "\u0301", "a\u0301\u0301b", "\u0e01\u0e33", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0645\u0631\u062d\u0628\u0627",
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f",
    "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c", "\uff21\uff22\uff11", "\u266a\u266a\u266a", "\u300c\u300d\u300e\u300f", "\u2126\u212b",
    "<|endoftext|>", "<|en|>", "<|0.00|>", " hallo", " And so my fellow Americans", " -", " '", "((", "[[ ]]",
    "a" * 300, "!" * 200, " " * 200, " " * 129 + "x", "ab" * 150, "\n" * 100, "\u00e9" * 100, "\u4e00" * 90, "1" * 70,
    "https://example.com/a?b=c&d=%20", "if (x<<=1) { return a->b; }", "\\\\\\", "_____", "--------", "...", "?!?!",
    "\u00df\u1e9e", "\u0130i\u0131I", "\u01c5", "\ufb01", "\u017f", "K\u212a", "\u0390\u1fd3",
]
WORDS = ("the and so my fellow Americans ask not what your country don't it's we'll THE Straße naïve größer 東京 こんにちは "
         "привет мир שלום مرحبا हिन्दी ไทย 한국어 Việt e\u0301cole 3.14 2026 1,000 ♪ 😀 ... -- «» \u3000 \u00a0 \u2028").split(" ")
POOLS = [
    (0x20, 0x7e), (0x20, 0x7e), (0x00, 0x1f), (0x80, 0xff), (0x100, 0x24f), (0x300, 0x36f), (0x370, 0x52f), (0x590, 0x6ff),
    (0x900, 0xdff), (0xe00, 0xeff), (0x1680, 0x180f), (0x1c80, 0x1cff), (0x2000, 0x206f), (0x2070, 0x218f), (0x2600, 0x27bf),
    (0x3000, 0x30ff), (0x4e00, 0x9fff), (0xa7c0, 0xa7ff), (0xac00, 0xd7a3), (0xf900, 0xfdff), (0xfe00, 0xffff),
    (0x10000, 0x107ff), (0x10d00, 0x10eff), (0x11300, 0x11fff), (0x13400, 0x1347f), (0x1d400, 0x1d7ff), (0x1e000, 0x1e5ff),
    (0x1f300, 0x1faff), (0x2eb00, 0x2ee60), (0x31300, 0x323b0), (0xe0000, 0xe01ff),
]
SPACES = " \t\n\v\f\r\x1c\x1f\x85\xa0\u1680\u180e\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"


def character(r, pool):
    c = r.randint(*pool)
    return chr(c) if not 0xd800 <= c < 0xe000 else "?"


def odd(r):
    parts = []
    for _ in range(r.randint(1, 8)):
        kind = r.randrange(8)
        if kind < 2:
            parts.append(r.choice(WORDS))
        elif kind == 2:
            parts.append("".join(r.choice(SPACES) for _ in range(r.randint(1, 5))))
        elif kind == 3:
            parts.append("".join(character(r, r.choice(POOLS)) for _ in range(r.randint(1, 6))))
        elif kind == 4:
            pool = r.choice(POOLS)
            parts.append("".join(character(r, pool) for _ in range(r.randint(1, 20))))
        elif kind == 5:
            parts.append(character(r, r.choice(POOLS)) * r.randint(1, 40))
        elif kind == 6:
            parts.append(r.choice(["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'", " '", "'S", "'l", "'r"]))
        else:
            parts.append("".join(r.choice("abcdefghij klmnopqrstuvwxyz") for _ in range(r.randint(1, 60))))
        if r.random() < 0.4:
            parts.append(" ")
    return "".join(parts)


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("message", ctypes.c_char * 252)]


class Bpe:
    """A vocabulary opened by Berth."""

    def __init__(self, lib, name, path, *limit):
        self.lib, self.handle, self.error = lib, ctypes.c_void_p(), Error()
        call = getattr(lib, name)
        if call(path.encode(), *limit, ctypes.byref(self.handle), ctypes.byref(self.error)) < 0:
            raise SystemExit(self.error.message.decode())

    def encode(self, text):
        data, ids, n = text.encode(), ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t()
        rc = self.lib.bth_bpe_encode(self.handle, data, ctypes.c_size_t(len(data)), ctypes.byref(ids),
                                     ctypes.byref(n), ctypes.byref(self.error))
        if rc < 0:
            raise SystemExit(self.error.message.decode())
        out = ids[:n.value]
        self.lib.bth_free(ids)
        return out


def build(folder):
    out = os.path.join(folder, "bpe.so")
    base = [os.path.join(ROOT, "src/base", n + ".c") for n in ("alloc", "arena", "error", "fs", "str")]
    text = [os.path.join(ROOT, "src/text", n + ".c") for n in ("bpe", "bpe_json", "split", "tiktoken")]
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-I", os.path.join(ROOT, "src"),
                    "-I", os.path.join(ROOT, "include"), *base, *text, "-ljansson", "-lpcre2-8", "-o", out], check=True)
    return ctypes.CDLL(out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--n", type=int, default=20000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--tokenizer-json")
    p.add_argument("--record")
    a = p.parse_args()
    r = random.Random(a.seed)
    strings = NASTY + [odd(r) for _ in range(a.n)]
    with tempfile.TemporaryDirectory() as folder:
        lib = build(folder)
    wrong = 0
    for name in ("multilingual", "gpt2"):
        theirs = get_encoding(name)
        ours = [Bpe(lib, "bth_bpe_open_tiktoken", os.path.join(ROOT, "tests/data", name + ".tiktoken"))]
        if a.tokenizer_json and name == "multilingual":
            ours.append(Bpe(lib, "bth_bpe_open_json", a.tokenizer_json, 50257))
        for s in strings:
            want = theirs.encode_ordinary(s)
            for o in ours:
                got = o.encode(s)
                if got != want:
                    wrong += 1
                    print(f"{name} {s!r}: {got}, tiktoken {want}", file=sys.stderr)
        print(f"{name}: {len(strings)} strings, {len(ours)} readers; differences so far: {wrong}")
    if a.record:
        e = get_encoding("multilingual"), get_encoding("gpt2")
        cases = [[s, e[0].encode_ordinary(s), e[1].encode_ordinary(s)]
                 for s in NASTY + [s for s in strings[len(NASTY):] if len(s) < 60][:300 - len(NASTY)]]
        made = f"tiktoken {tiktoken.__version__}, Python {platform.python_version()}, tools/check_bpe.py --seed {a.seed}"
        with open(a.record, "w") as f:
            f.write('{"made_by": %s,\n "cases_are": "text, multilingual ids, gpt2 ids",\n "cases": [\n' % json.dumps(made))
            f.write(",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
