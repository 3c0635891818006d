#!/usr/bin/env python3
"""What the student models say by products of 8-bit integers, computed by numpy.

Integers are exact whoever sums them, but f32 sums between the products are not: another order of the
same sum moves its last bit, now and then an activation then rounds to the next integer, and one
integer in a thousand sentences' worth is enough to change a word. So there are two arithmetics here:
`plain`, numpy's own sums, and `lanes`, the order that Berth's CPU backend promises (16 lanes, a tree,
fused multiply-adds, its exp). By `lanes` every id is equal to Berth's; by `plain` a few in a hundred
sentences are not, and --explain shows for each where the first integer differs and how close it was
to the middle between two.

    golden_marian_students.py STUDENTS --english FILE [--out FILE] [--cases N]
                              write tests/golden/marian/students.json from the lines of FILE
    golden_marian_students.py STUDENTS --english FILE --explain
                              compare the two arithmetics

STUDENTS is what tools/students prints. Needs numpy (with an 80-bit long double) and sentencepiece.
"""

import argparse
import json
import os
import struct

import numpy as np
import sentencepiece

F = np.float32
PAIRS = {"enpt": "enpt-1693087644", "pten": "pten-1693087646"}
HEADS, FIRST_TOKENS, FACTOR = 8, 50, 2.5
ENCODERS, DECODERS = 6, 2


# ---- files ------------------------------------------------------------------------------------------


def read_model(path):
    """{name: (array, scale)}; scale None for f32. Matrices of i8 are [outputs, inputs]."""
    data = open(path, "rb").read()
    n = struct.unpack_from("<Q", data, 8)[0]
    heads = [struct.unpack_from("<4Q", data, 16 + 32 * i) for i in range(n)]
    at, names, shapes, out = 16 + 32 * n, [], [], {}
    for size, *_ in heads:
        names.append(data[at:at + size].rstrip(b"\0").decode())
        at += size
    for _, _, rank, _ in heads:
        shapes.append(struct.unpack_from(f"<{rank}i", data, at))
        at += 4 * rank
    at += 8 + struct.unpack_from("<Q", data, at)[0]
    for (_, kind, _, size), name, shape in zip(heads, names, shapes):
        count = int(np.prod(shape))
        if kind == 0x4101:
            rows = shape if "Wemb" in name else shape[::-1]
            scale = np.frombuffer(data, F, 1, at + count)[0]
            out[name] = np.frombuffer(data, np.int8, count, at).reshape(rows), scale
        elif kind == 0x0404:
            out[name] = np.frombuffer(data, F, count, at).reshape(-1), None
        at += size
    return out


def read_shortlist(path):
    data = open(path, "rb").read()
    n_offsets, n_ids = struct.unpack_from("<2Q", data, 32)
    return (np.frombuffer(data, np.uint64, n_offsets, 48).astype(int),
            np.frombuffer(data, np.uint32, n_ids, 48 + 8 * n_offsets))


# ---- two arithmetics -------------------------------------------------------------------------------


class Plain:
    """numpy's own sums and exp."""

    @staticmethod
    def fma(a, b, c):
        return (a * b).astype(F) + c

    exp = staticmethod(np.exp)

    @staticmethod
    def mean(x):
        return x.mean(-1, keepdims=True, dtype=F)

    @staticmethod
    def mean_square(x):
        return (x * x).mean(-1, keepdims=True, dtype=F)

    @staticmethod
    def attend(q, k, v):
        s = np.einsum("hqd,hkd->hqk", q, k)
        e = np.exp(s - s.max(-1, keepdims=True))
        return np.einsum("hqk,hkd->hqd", e / e.sum(-1, keepdims=True), v)


def fused(a, b, c):
    """a * b + c rounded once: 48 bits of product fit a long double."""
    wide = np.longdouble
    return (np.asarray(a, wide) * np.asarray(b, wide) + np.asarray(c, wide)).astype(F)


class Lanes:
    """The order of src/compute/cpu: elements l, l + 16 ... to lane l, lanes as a tree."""

    fma = staticmethod(fused)
    POWERS = [F(float.fromhex(h)) for h in ("0x1.6a2434p-10", "0x1.1239e4p-7", "0x1.5558f2p-5",
                                            "0x1.555492p-3", "0x1.fffffcp-2")]

    @classmethod
    def exp(cls, x):
        magic, low = F(1.5 * 2**23), F(-87.3)
        c = np.maximum(x, low)
        n = fused(c, F(float.fromhex("0x1.715476p+0")), magic) - magic
        r = fused(n, F(float.fromhex("-0x1.63p-1")), c)
        r = fused(n, F(float.fromhex("0x1.bd0106p-13")), r)
        q = np.full_like(r, cls.POWERS[0])
        for power in cls.POWERS[1:]:
            q = fused(q, r, power)
        q = fused(q, r * r, r) + F(1)
        return np.where(x < low, F(0), np.ldexp(q, n.astype(int))).astype(F)

    @staticmethod
    def tree(lanes):
        for half in (8, 4, 2, 1):
            lanes = lanes[..., :half] + lanes[..., half:2 * half]
        return lanes

    @classmethod
    def sixteens(cls, x, step):
        """step(lanes, the next 16) over the last axis, then the tree; padded by zeros."""
        pad = -x.shape[-1] % 16
        x = np.concatenate([x, np.zeros(x.shape[:-1] + (pad,), F)], -1) if pad else x
        lanes = np.zeros(x.shape[:-1] + (16,), F)
        for c in range(0, x.shape[-1], 16):
            lanes = step(lanes, x[..., c:c + 16])
        return cls.tree(lanes)

    @classmethod
    def mean(cls, x):
        return cls.sixteens(x, np.add) / F(x.shape[-1])

    @classmethod
    def mean_square(cls, x):
        return cls.sixteens(x, lambda sum_, v: fused(v, v, sum_)) / F(x.shape[-1])

    @classmethod
    def attend(cls, q, k, v):
        lanes = np.zeros((q.shape[0], q.shape[1], k.shape[1], 16), F)
        for c in range(0, q.shape[2], 16):
            lanes = fused(q[:, :, None, c:c + 16], k[:, None, :, c:c + 16], lanes)
        s = cls.tree(lanes)[..., 0]
        assert s.shape[2] <= 256, "one chunk of positions"
        e = cls.exp(s - s.max(-1, keepdims=True))
        out = np.zeros(q.shape, F)
        for i in range(k.shape[1]):
            out = fused(e[:, :, i, None], v[:, None, i], out)
        return out / cls.sixteens(e, np.add)


# ---- the model -------------------------------------------------------------------------------------


class Student:
    def __init__(self, folder, pair, arithmetic, log=None):
        folder = os.path.join(folder, PAIRS[pair])
        self.t = read_model(f"{folder}/model.{pair}.intgemm.alphas.bin")
        self.offsets, self.ids = read_shortlist(f"{folder}/lex.50.50.{pair}.s2t.bin")
        self.pieces = sentencepiece.SentencePieceProcessor(
            model_file=f"{folder}/vocab.{pair}.spm")
        self.a, self.log = arithmetic, log
        table, scale = self.t["Wemb"]
        self.table = table.astype(F) * (F(1) / scale)
        self.d = table.shape[1]

    def vector(self, name):
        return self.t[name][0]

    def product(self, x, rows, scale, alpha, bias):
        """Bytes x + 127 times rows, with the shift taken off again."""
        scaled = x * alpha
        i = np.clip(np.rint(scaled), -127, 127)
        if self.log is not None:
            self.log.append((scaled, i))
        acc = (i + 127).astype(np.int64) @ rows.T.astype(np.int64)
        shift = rows.sum(1, dtype=np.int64).astype(F) * -((F(127) / alpha) *
                                                          (F(127) / scale) / F(127))
        return acc.astype(F) * (F(1) / (alpha * scale)) + (shift if bias is None else shift + bias)

    def affine(self, x, weight, bias=None):
        rows, scale = self.t[weight]
        alpha = self.vector(weight + "_QuantMultA")[0]
        return self.product(x, rows, scale, alpha, None if bias is None else self.vector(bias))

    def norm(self, x, name):
        centred = x - self.a.mean(x)
        scale = F(1) / np.sqrt(self.a.mean_square(centred) + F(1e-6))
        return self.a.fma(centred * scale, self.vector(name + "_ln_scale"),
                          self.vector(name + "_ln_bias"))

    def embed(self, ids, first=0):
        """Without an id: the start."""
        half = self.d // 2
        angle = np.arange(first, first + len(ids))[:, None] * np.exp(
            -np.arange(half) * np.log(10000.0) / (half - 1))
        positions = np.concatenate([np.sin(angle), np.cos(angle)], 1).astype(F)
        rows = np.stack([np.zeros(self.d, F) if i is None else self.table[i] for i in ids])
        return self.a.fma(rows, F(self.d**0.5), positions)

    def heads(self, x):
        return x.reshape(len(x), HEADS, -1).transpose(1, 0, 2)

    def attention(self, x, name, keys, values):
        q = self.affine(x, name + "_Wq", name + "_bq") * (F(1) / np.sqrt(F(self.d // HEADS)))
        mixed = self.a.attend(self.heads(q), keys, values).transpose(1, 0, 2).reshape(x.shape)
        return self.norm(self.affine(mixed.astype(F), name + "_Wo", name + "_bo") + x,
                         name + "_Wo")

    def memory(self, x, name):
        return [self.heads(self.affine(x, f"{name}_W{c}", f"{name}_b{c}")) for c in "kv"]

    def feed_forward(self, x, name):
        h = np.maximum(self.affine(x, name + "_ffn_W1", name + "_ffn_b1"), F(0))
        return self.norm(self.affine(h, name + "_ffn_W2", name + "_ffn_b2") + x, name + "_ffn_ffn")

    def recurrent(self, x, name, state):
        new = self.affine(x, name + "_W")
        gate = self.affine(x, name + "_Wf", name + "_bf")
        f = F(1) / (F(1) + self.a.exp(np.minimum(-gate, F(88))))
        state[:] = self.a.fma(f, state, (F(1) - f) * new)
        return self.norm(np.maximum(state, F(0)) + x, name + "_ffn")

    def candidates(self, source):
        chosen = set(range(FIRST_TOKENS)) | set(source)
        for i in source:
            chosen.update(self.ids[self.offsets[i]:self.offsets[i + 1]].tolist())
        more = FIRST_TOKENS
        while len(chosen) % 8:
            chosen.add(more)
            more += 1
        return np.array(sorted(chosen))

    def generate(self, source):
        """Ids, and the smallest margin of a choice."""
        x = self.embed(source)
        for n in range(1, ENCODERS + 1):
            x = self.attention(x, f"encoder_l{n}_self", *self.memory(x, f"encoder_l{n}_self"))
            x = self.feed_forward(x, f"encoder_l{n}")
        memory = [self.memory(x, f"decoder_l{n}_context") for n in range(1, DECODERS + 1)]
        states = np.zeros((DECODERS, 1, self.d), F)
        ids, last, margin = [], None, np.inf
        candidates = self.candidates(source)
        rows, scale = self.t["Wemb"]
        output = (rows[candidates], scale, self.vector("none_QuantMultA")[0],
                  self.vector("decoder_ff_logit_out_b")[candidates])
        while last != 0 and len(ids) < np.ceil(FACTOR * len(source)):
            x = self.embed([last], len(ids))
            for n in range(1, DECODERS + 1):
                x = self.recurrent(x, f"decoder_l{n}_rnn", states[n - 1])
                x = self.attention(x, f"decoder_l{n}_context", *memory[n - 1])
                x = self.feed_forward(x, f"decoder_l{n}")
            logits = self.product(x, *output)[0]
            logits[candidates == 1] = -np.inf  # the unknown word
            last = int(candidates[np.argmax(logits)])
            best = np.sort(logits)[-2:]
            margin = min(margin, float(best[1] - best[0]))
            ids.append(last)
        return ids, margin


# ---- what is asked for -----------------------------------------------------------------------------


def source_ids(student, line):
    return student.pieces.encode(line) + [0]


def explain(folder, pair, lines):
    logs = [[], []]
    plain, lanes = (Student(folder, pair, a, log) for a, log in zip((Plain, Lanes), logs))
    differ, farthest = 0, 0.0
    for line in lines:
        for log in logs:
            log.clear()
        source = source_ids(plain, line)
        one, two = plain.generate(source), lanes.generate(source)
        first = next(((n, a, b) for n, ((a, i), (b, j)) in enumerate(zip(*logs))
                      if a.shape == b.shape and (i != j).any()), None)
        differ += one[0] != two[0]
        if first:
            n, a, b = first
            off = np.rint(a) != np.rint(b)
            gap = float(np.abs(a[off] - b[off]).max())
            farthest = max(farthest, gap)
        if one[0] != two[0]:
            print(f"{line!r}: the first integer that differs is in product {n} of {len(logs[0])}: "
                  f"{a[off][0]:.6f} and {b[off][0]:.6f}; margins {one[1]:.3f} and {two[1]:.3f}")
    print(f"{pair}: {differ} of {len(lines)} sentences differ; where an integer differed first, the "
          f"values before rounding were at most {farthest:.1e} apart")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("students")
    p.add_argument("--english", required=True)
    p.add_argument("--cases", type=int, default=100)
    p.add_argument("--explain", action="store_true")
    p.add_argument("--out", default="tests/golden/marian/students.json")
    args = p.parse_args()
    lines = open(args.english, encoding="utf-8").read().splitlines()[:args.cases]
    cases = []
    for pair in PAIRS:
        student = Student(args.students, pair, Lanes)
        back = []
        if args.explain:
            explain(args.students, pair, lines)
        for line in lines:
            source = source_ids(student, line)
            ids, margin = student.generate(source)
            back.append(student.pieces.decode(ids[:-1] if ids[-1] == 0 else ids))
            cases.append([PAIRS[pair], line, source, ids, round(margin, 4)])
        lines = back  # what came out in Portuguese goes back
    if args.explain:
        return
    about = {"made_by": {"numpy": np.__version__, "sentencepiece": sentencepiece.__version__},
             "fields": "model, text, source, ids, smallest margin"}
    with open(args.out, "w", encoding="utf-8") as f:
        f.write(f'{{"about": {json.dumps(about)},\n"cases": [\n')
        f.write(",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in cases))
        f.write("\n]}\n")


if __name__ == "__main__":
    main()
