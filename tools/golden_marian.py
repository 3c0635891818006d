#!/usr/bin/env python3
"""What MarianMTModel.generate of transformers says on models of random weights.

Writes tests/golden/marian/generate.json: ids, scores and the smallest margin of each case. The
weights come from the counter of tests/lib/tiny_marian.c, made here in numpy, so that none has to be
kept. Needs transformers, torch and numpy; the versions used are written into the file.

    tools/golden_marian.py [--cases N] [--out FILE]
"""

import argparse
import json

import numpy as np
import torch
import transformers
from transformers import MarianConfig, MarianMTModel

# as in tests/lib/tiny_marian.c
FIELDS = ("d heads encoder_ffn decoder_ffn encoder_layers decoder_layers vocab decoder_vocab relu "
          "tied_embeddings tied_output renormalize spread eos_bias seed").split()
SHAPES = [dict(zip(FIELDS, row)) for row in [
    (64, 4, 128, 128, 2, 2, 400, 400, False, True, True, True, 2.5, 3.5, 1),
    (96, 3, 160, 256, 3, 1, 1500, 1500, True, True, True, False, 2.5, 4.5, 2),
    (64, 2, 192, 96, 1, 3, 420, 420, False, False, True, True, 3.0, 4.0, 3),
    (128, 8, 256, 256, 2, 2, 700, 700, True, True, False, True, 2.5, 4.0, 4),
    (512, 8, 2048, 2048, 6, 6, 3000, 3000, False, True, True, True, 2.5, 5.0, 5),
]]
MASK = (1 << 64) - 1


def mixed(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def key_of(name, seed):
    h = 0xCBF29CE484222325
    for c in name.encode():
        h = ((h ^ c) * 0x100000001B3) & MASK
    return h ^ mixed(seed)


def elements(name, shape, mean, spread, seed):
    n = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = np.uint64(key_of(name, seed)) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(
            0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits = (z ^ (z >> np.uint64(31))) >> np.uint64(40)
    f = bits.astype(np.float32) / np.float32(8388608) - np.float32(1)
    return (f * np.float32(spread) + np.float32(mean)).reshape(shape)


def weights(s):
    """All tensors by name."""
    out = {}

    def add(name, shape, mean, spread):
        out[name] = elements(name, shape, mean, spread, s["seed"])

    def linear(prefix, n, k):
        add(prefix + ".weight", (n, k), 0, np.sqrt(np.float32(3) / np.float32(k)))
        add(prefix + ".bias", (n,), 0, 0.1)

    def norm(prefix):
        add(prefix + ".weight", (s["d"],), 1, 0.1)
        add(prefix + ".bias", (s["d"],), 0, 0.1)

    rows = np.float32(s["spread"]) * np.sqrt(np.float32(3) / np.float32(s["d"]))
    if s["tied_embeddings"]:
        add("model.shared.weight", (s["vocab"], s["d"]), 0, rows)
        out["model.shared.weight"][-1] = 0
    else:
        for side, size in ("encoder", s["vocab"]), ("decoder", s["decoder_vocab"]):
            name = f"model.{side}.embed_tokens.weight"
            add(name, (size, s["d"]), 0, rows)
            out[name][-1] = 0
    if not s["tied_output"]:
        add("lm_head.weight", (s["decoder_vocab"], s["d"]), 0, rows)
    add("final_logits_bias", (1, s["decoder_vocab"]), 0, 0.2)
    out["final_logits_bias"][0, 0] = s["eos_bias"]
    out["final_logits_bias"][0, -1] = 0
    for side in "encoder", "decoder":
        for i in range(s[side + "_layers"]):
            prefix = f"model.{side}.layers.{i}"
            for block in ["self_attn"] + (["encoder_attn"] if side == "decoder" else []):
                for part in "q_proj", "k_proj", "v_proj", "out_proj":
                    linear(f"{prefix}.{block}.{part}", s["d"], s["d"])
                norm(f"{prefix}.{block}_layer_norm")
            linear(prefix + ".fc1", s[side + "_ffn"], s["d"])
            linear(prefix + ".fc2", s["d"], s[side + "_ffn"])
            norm(prefix + ".final_layer_norm")
        if s.get("pre_norm"):
            norm(f"model.{side}.layer_norm")
    return out


def make_model(s):
    pad = s["decoder_vocab"] - 1
    config = MarianConfig(
        d_model=s["d"], encoder_attention_heads=s["heads"], decoder_attention_heads=s["heads"],
        encoder_ffn_dim=s["encoder_ffn"], decoder_ffn_dim=s["decoder_ffn"],
        encoder_layers=s["encoder_layers"], decoder_layers=s["decoder_layers"],
        vocab_size=s["vocab"], decoder_vocab_size=s["decoder_vocab"],
        activation_function="relu" if s["relu"] else "swish", scale_embedding=True,
        max_position_embeddings=512, share_encoder_decoder_embeddings=s["tied_embeddings"],
        tie_word_embeddings=s["tied_output"], pad_token_id=pad, decoder_start_token_id=pad,
        eos_token_id=0, forced_eos_token_id=0, bos_token_id=0)
    model = MarianMTModel(config).eval()
    state = {k: torch.from_numpy(v) for k, v in weights(s).items()}
    if not s["tied_embeddings"] and s["tied_output"]:
        state["lm_head.weight"] = state["model.decoder.embed_tokens.weight"]
    if s["tied_embeddings"]:
        for name in "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight":
            state[name] = state["model.shared.weight"]
        if s["tied_output"]:
            state["lm_head.weight"] = state["model.shared.weight"]
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [m for m in missing if "embed_positions" not in m]
    assert not missing and not unexpected, (missing, unexpected)
    g = model.generation_config
    g.bad_words_ids, g.max_length, g.num_beams = [[pad]], 48, 4
    g.renormalize_logits = s["renormalize"] or None
    return model


class Margins:
    """The smallest difference between neighbours among the candidates of each sentence's steps."""

    def __init__(self, model, beams, n):
        self.least = np.full(n, np.inf)
        self.gaps = []
        self.model, self.beams = model, beams

    def __enter__(self):
        if self.beams > 1:
            original = self.model._get_top_k_continuations

            def watched(accumulated_log_probs, *args, **kwargs):
                k = min(2 * self.beams + 1, accumulated_log_probs.shape[-1])
                top = torch.topk(accumulated_log_probs, k, dim=-1)[0].double()
                gaps = top[:, :-1] - top[:, 1:]
                gaps[top[:, 1:] < -1e8] = np.inf
                self.least = np.minimum(self.least, gaps.min(-1)[0].numpy())
                self.gaps += [float(g) for g in gaps[:, 0] if np.isfinite(float(g))]
                return original(accumulated_log_probs, *args, **kwargs)

            self.model._get_top_k_continuations = watched
        return self

    def greedy(self, scores, ids):
        """Up to each row's end."""
        for step, z in enumerate(scores):
            top = torch.topk(z, 2, dim=-1)[0].double()
            for row in range(len(ids)):
                before = ids[row, 1:step + 1]
                if 0 in before or not torch.isfinite(top[row, 1]):
                    continue
                gap = float(top[row, 0] - top[row, 1])
                self.least[row] = min(self.least[row], gap)
                self.gaps.append(gap)

    def __exit__(self, *_):
        if self.beams > 1:
            del self.model._get_top_k_continuations


def run_batch(model, sources, options):
    pad = model.config.pad_token_id
    width = max(len(s) for s in sources)
    ids = torch.tensor([s + [0] * (width - len(s)) for s in sources])
    mask = torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in sources])
    beams = options["num_beams"]
    with torch.inference_mode(), Margins(model, beams, len(sources)) as margins:
        out = model.generate(input_ids=ids, attention_mask=mask, return_dict_in_generate=True,
                             output_scores=True, **options)
    if beams == 1:
        margins.greedy(out.scores, out.sequences)
        steps = model.compute_transition_scores(out.sequences, out.scores,
                                                normalize_logits=True)
    for i, row in enumerate(out.sequences.tolist()):
        row = row[1:]
        end = row.index(0) + 1 if 0 in row else len(row)
        row = row[:end]
        assert pad not in row
        if beams > 1:
            score = float(out.sequences_scores[i])
        else:
            logprobs = steps[i][:end].double()
            score = float(logprobs.sum()) / end ** options.get("length_penalty", 1.0)
        yield row, score, float(margins.least[i]), margins.gaps


def write_cases(path, head, cases):
    with open(path, "w") as f:
        f.write('{"made_by": ' + json.dumps(head) + ',\n"cases": [\n')
        f.write(",\n".join(json.dumps(c, separators=(",", ":")) for c in cases))
        f.write("\n]}\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--out", default="tests/golden/marian/generate.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(7)
    settings = [{"num_beams": b} for b in (1, 2, 4, 6)] + [
        {"num_beams": 4, "length_penalty": 0.2}, {"num_beams": 4, "early_stopping": True},
        {"num_beams": 2, "length_penalty": 1.8}, {"num_beams": 6, "early_stopping": "never"},
        {"num_beams": 4, "max_length": 9}, {"num_beams": 1, "max_length": 6}]
    cases, gaps = [], []
    each = 5
    rounds = max(1, args.cases // (len(SHAPES) * len(settings) * each))
    for shape, s in enumerate(SHAPES):
        model = make_model(s)
        for options in settings:
            for _ in range(rounds):
                sources = [rng.integers(2, s["vocab"] - 1, rng.integers(1, 40)).tolist() + [0]
                           for _ in range(each)]
                for source, (row, score, margin, more) in zip(
                        sources, run_batch(model, sources, options)):
                    cases.append([shape, options, source, row, round(score, 6),
                                  round(min(margin, 99), 7)])
                gaps += more
        print(f"shape {shape}: {len(cases)} cases, median gap {np.median(gaps):.3f}, "
              f"{sum(c[5] < 1e-4 for c in cases)} with a margin under 1e-4", flush=True)
    head = {"transformers": transformers.__version__, "torch": torch.__version__,
            "numpy": np.__version__, "fields": "shape, options, source, ids, score, margin"}
    write_cases(args.out, head, cases)


if __name__ == "__main__":
    main()
