#!/usr/bin/env python3
"""A Whisper of a given shape with random f16 weights, in Hugging Face's layout: for speed only.

usage: random_model.py SHAPE SAMPLE OUT    (SHAPE as in peers_gpu.py; SAMPLE: whose tokenizer it gets)
"""
import shutil
import sys

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from peers_gpu import SHAPES


def main(shape, sample, out):
    torch.manual_seed(1)
    # the sample's tokenizer has 51,865 ids
    model = WhisperForConditionalGeneration(WhisperConfig(**{**SHAPES[shape], "vocab_size": 51865}))
    model.half().save_pretrained(out)
    shutil.copy(f"{sample}/tokenizer.json", out)


if __name__ == "__main__":
    main(*sys.argv[1:])
