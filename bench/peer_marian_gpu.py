#!/usr/bin/env python3
"""transformers' Marian in bf16 on a GPU, measured for bench_marian's numbers. Prints JSON lines.

usage: peer_marian_gpu.py model FOLDER OUT       a model of the base shape with random weights: OUT gets it
                                                 with the vocabulary of FOLDER
       peer_marian_gpu.py run MODEL IDS [ROWS...]  IDS: lines of [[source ids]], as bench_marian's "show"
                                                 prints them with task=tokenize; default rows 1 8 64

Beam 4, 25 tokens a sentence, whichever they are; sentences in static batches of ROWS, as they come.
Tokenizing is not counted (bench_marian counts it).
"""
import json
import shutil
import sys
import time

import torch
from transformers import MarianConfig, MarianMTModel

BEAMS, LENGTH = 4, 25


def make(folder, out):
    ids = json.load(open(f"{folder}/vocab.json", encoding="utf-8"))
    vocab = len(ids)
    torch.manual_seed(1)
    config = MarianConfig(
        d_model=512, encoder_layers=6, decoder_layers=6, encoder_attention_heads=8,
        decoder_attention_heads=8, encoder_ffn_dim=2048, decoder_ffn_dim=2048, vocab_size=vocab,
        decoder_vocab_size=vocab, max_position_embeddings=512, activation_function="swish",
        scale_embedding=True, static_position_embeddings=True, pad_token_id=vocab - 1,
        decoder_start_token_id=vocab - 1, eos_token_id=ids["</s>"], forced_eos_token_id=None)
    MarianMTModel(config).float().save_pretrained(out)
    for name in ("source.spm", "target.spm", "vocab.json", "tokenizer_config.json"):
        shutil.copy(f"{folder}/{name}", out)


@torch.inference_mode()
def run(model, ids, rows):
    m = MarianMTModel.from_pretrained(model, dtype=torch.bfloat16).to("cuda").eval()
    sentences = [json.loads(line)[0] for line in open(ids, encoding="utf-8")]
    pad = m.config.pad_token_id

    def translate(batch):
        longest = max(map(len, batch))
        padded = torch.tensor([s + [pad] * (longest - len(s)) for s in batch], device="cuda")
        m.generate(input_ids=padded, attention_mask=(padded != pad).long(), num_beams=BEAMS,
                   min_new_tokens=LENGTH, max_new_tokens=LENGTH, do_sample=False)
        torch.cuda.synchronize()

    for n in rows:
        batches = [sentences[i:i + n] for i in range(0, len(sentences), n)]
        translate(batches[0])
        took, start = [], time.perf_counter()
        for batch in batches[:32]:
            began = time.perf_counter()
            translate(batch)
            took.append(time.perf_counter() - began)
        wall = time.perf_counter() - start
        done = sum(map(len, batches[:32]))
        print(json.dumps({"who": "transformers bf16", "rows": n, "sentences": done,
                          "wall_s": round(wall, 3), "sentences_per_s": round(done / wall, 1),
                          "p50_s": round(sorted(took)[len(took) // 2], 4)}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "model":
        make(*sys.argv[2:])
    else:
        run(sys.argv[2], sys.argv[3], [int(n) for n in sys.argv[4:]] or [1, 8, 64])
