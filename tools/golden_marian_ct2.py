#!/usr/bin/env python3
"""What CTranslate2 says on conversions of models of random weights, pre-norm ones too.

Writes tests/golden/marian/ct2.json. The weights are those of golden_marian.py; each model is stored
as f32, i16 and i8, and run by CTranslate2 in f32 and, where stored as i8, in its own int8. There is no
length penalty: CTranslate2 divides by a length that does not count the end,
generate() by one that does. Needs ctranslate2 and what golden_marian.py needs.

    tools/golden_marian_ct2.py [--out FILE] [--keep FOLDER]
"""

import argparse
import os
import tempfile

import ctranslate2
import numpy as np
from ctranslate2.specs import common_spec, transformer_spec

import golden_marian as hf

# as in tests/lib/tiny_ct2.c
SHAPES = [dict(zip(hf.FIELDS + ["pre_norm"], row)) for row in [
    (64, 4, 128, 128, 2, 2, 400, 400, False, True, False, True, 2.5, 3.0, 13, False),
    (64, 4, 128, 192, 3, 2, 420, 420, True, True, False, True, 2.5, 2.5, 6, True),
    (96, 3, 160, 96, 2, 3, 500, 500, False, False, False, True, 2.5, 1.5, 12, True),
]]
POSITIONS = 512
STORED = ["float32", "int16", "int8"]


def positions(d):
    j = np.arange(d // 2)
    angle = np.arange(POSITIONS)[:, None] / 10000 ** (2 * j / d)
    return np.concatenate([np.sin(angle), np.cos(angle)], 1).astype(np.float32)


def fill(spec, w, s):
    def linear(to, *names):
        to.weight = np.concatenate([w[n + ".weight"] for n in names])
        to.bias = np.concatenate([w[n + ".bias"] for n in names])

    def norm(to, name):
        to.gamma, to.beta = w[name + ".weight"], w[name + ".bias"]

    for side, part in ("encoder", spec.encoder), ("decoder", spec.decoder):
        shared = w.get("model.shared.weight")
        table = (shared if shared is not None else w[f"model.{side}.embed_tokens.weight"])[:-1]
        (part.embeddings[0] if side == "encoder" else part.embeddings).weight = table
        part.position_encodings.encodings = positions(s["d"])
        part.scale_embeddings = np.float32(s["d"] ** 0.5)
        for i, layer in enumerate(part.layer):
            p = f"model.{side}.layers.{i}."
            a = p + "self_attn."
            linear(layer.self_attention.linear[0], a + "q_proj", a + "k_proj", a + "v_proj")
            linear(layer.self_attention.linear[1], a + "out_proj")
            norm(layer.self_attention.layer_norm, p + "self_attn_layer_norm")
            if side == "decoder":
                a = p + "encoder_attn."
                linear(layer.attention.linear[0], a + "q_proj")
                linear(layer.attention.linear[1], a + "k_proj", a + "v_proj")
                linear(layer.attention.linear[2], a + "out_proj")
                norm(layer.attention.layer_norm, p + "encoder_attn_layer_norm")
            linear(layer.ffn.linear_0, p + "fc1")
            linear(layer.ffn.linear_1, p + "fc2")
            norm(layer.ffn.layer_norm, p + "final_layer_norm")
        if s["pre_norm"]:
            norm(part.layer_norm, f"model.{side}.layer_norm")
    spec.decoder.start_from_zero_embedding = True
    head = w["lm_head.weight"][:-1] if "lm_head.weight" in w else spec.decoder.embeddings.weight
    spec.decoder.projection.weight = head
    spec.decoder.projection.bias = w["final_logits_bias"][0, :-1]


def convert(s, stored, folder):
    spec = transformer_spec.TransformerSpec.from_config(
        (s["encoder_layers"], s["decoder_layers"]), s["heads"], pre_norm=s["pre_norm"],
        activation=common_spec.Activation.RELU if s["relu"] else common_spec.Activation.SWISH)
    fill(spec, {k: v.copy() for k, v in hf.weights(s).items()}, s)
    words = ["</s>", "<unk>"] + [f"w{i}" for i in range(2, s["vocab"] - 1)]
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.config.bos_token = "<s>"
    spec.config.decoder_start_token = "</s>"
    spec.validate()
    spec.optimize(quantization=stored)
    os.makedirs(folder)
    spec.save(folder)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", default="tests/golden/marian/ct2.json")
    p.add_argument("--keep")
    args = p.parse_args()
    rng = np.random.default_rng(11)
    cases = []
    for shape, s in enumerate(SHAPES):
        for stored in STORED:
            with tempfile.TemporaryDirectory() as tmp:
                folder = os.path.join(args.keep or tmp, f"{shape}-{stored}")
                convert(s, stored, folder)
                sources = [rng.integers(2, s["vocab"] - 1, rng.integers(1, 40)).tolist() + [0]
                           for _ in range(6)]
                tokens = [[f"w{i}" if i else "</s>" for i in row] for row in sources]
                for compute in ["float32"] + (["int8"] if stored == "int8" else []):
                    t = ctranslate2.Translator(folder, device="cpu", compute_type=compute,
                                               intra_threads=1)
                    for beams in 1, 2, 4, 6:
                        results = t.translate_batch(
                            tokens, beam_size=beams, length_penalty=0, min_decoding_length=0,
                            max_decoding_length=47, return_scores=True)
                        for source, r in zip(sources, results):
                            ids = [int(w[1:]) if w[0] == "w" else 1 for w in r.hypotheses[0]]
                            cases.append([shape, stored, compute, beams, source, ids,
                                          round(r.scores[0], 6)])
        lengths = [len(c[5]) for c in cases if c[0] == shape]
        print(f"shape {shape}: {len(lengths)} cases of {min(lengths)} to {max(lengths)} ids")
    head = {"ctranslate2": ctranslate2.__version__, "numpy": np.__version__,
            "fields": "shape, stored, computed, beams, source, ids without the end, score"}
    hf.write_cases(args.out, head, cases)


if __name__ == "__main__":
    main()
