#!/usr/bin/env python3
"""transformers' Whisper in bf16 on a GPU, measured like bench_whisper.c. Prints JSON lines.

usage: peers_gpu.py SHAPE [ROWS...]     (SHAPE: base, turbo, large; default rows 1 64)

Random weights of the shape: speed does not depend on them. Static batch, sdpa attention, 90 tokens a
window; mel is not counted (bench_whisper counts it). `matmul` is the machine's bf16 product rate.
"""
import json
import sys
import time

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

SHAPES = {
    "base": dict(d_model=512, encoder_layers=6, decoder_layers=6, encoder_attention_heads=8,
                 decoder_attention_heads=8, encoder_ffn_dim=2048, decoder_ffn_dim=2048,
                 num_mel_bins=80, vocab_size=51865),
    "turbo": dict(d_model=1280, encoder_layers=32, decoder_layers=4, encoder_attention_heads=20,
                  decoder_attention_heads=20, encoder_ffn_dim=5120, decoder_ffn_dim=5120,
                  num_mel_bins=128, vocab_size=51866),
    "large": dict(d_model=1280, encoder_layers=32, decoder_layers=32, encoder_attention_heads=20,
                  decoder_attention_heads=20, encoder_ffn_dim=5120, decoder_ffn_dim=5120,
                  num_mel_bins=128, vocab_size=51866),
}
TOKENS = 90


def timed(work, times):
    best = 1e9
    for _ in range(times):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def matmul():
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    return 2 * 8192 ** 3 / timed(lambda: a @ b, 10) / 1e12


@torch.inference_mode()
def main(shape, rows):
    config = WhisperConfig(**SHAPES[shape])
    model = WhisperForConditionalGeneration(config).to("cuda", torch.bfloat16).eval()
    generation = dict(max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False, num_beams=1)
    print(json.dumps({"who": "matmul", "tflops": round(matmul(), 1)}))
    for n in rows:
        mel = torch.randn(n, config.num_mel_bins, 3000, device="cuda", dtype=torch.bfloat16)
        encode = timed(lambda: model.model.encoder(mel), 5)
        hidden = BaseModelOutput(model.model.encoder(mel).last_hidden_state)
        ids = torch.full((n, 4), 50258, device="cuda")

        def generate(count):
            limits = dict(generation, max_new_tokens=count, min_new_tokens=count)
            super(WhisperForConditionalGeneration, model).generate(
                encoder_outputs=hidden, decoder_input_ids=ids, **limits)

        generate(4)
        few, many = timed(lambda: generate(10), 3), timed(lambda: generate(TOKENS), 3)
        print(json.dumps({"who": f"transformers {shape} bf16", "rows": n,
                          "encode_ms": round(encode * 1e3, 3),
                          "ms_per_step": round((many - few) / (TOKENS - 10) * 1e3, 4),
                          "total_s": round(encode + many, 4),
                          "rtfx": round(n * 30 / (encode + many), 1)}))


if __name__ == "__main__":
    main(sys.argv[1], [int(n) for n in sys.argv[2:]] or [1, 64])
