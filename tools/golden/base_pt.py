#!/usr/bin/env python3
"""Turns a CTranslate2 Whisper folder into a checkpoint of openai-whisper.

usage: base_pt.py MODEL_FOLDER CHECKPOINT.pt
"""
import os
import struct
import sys

import numpy as np
import torch

DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class Reader:
    def __init__(self, data):
        self.data, self.offset = data, 0

    def number(self, code):
        value, = struct.unpack_from("<" + code, self.data, self.offset)
        self.offset += struct.calcsize("<" + code)
        return value

    def bytes(self, count):
        self.offset += count
        return self.data[self.offset - count:self.offset]

    def string(self):
        return bytes(self.bytes(self.number("H"))[:-1]).decode()  # the length counts the NUL


def read_variables(path):
    """{name: array} of a CTranslate2 model.bin, binary version 6."""
    with open(path, "rb") as f:
        r = Reader(memoryview(f.read()))
    if r.number("I") != 6 or r.string() != "WhisperSpec":
        sys.exit(f"{path}: not a Whisper model of CTranslate2, binary version 6")
    r.number("I")  # revision
    variables = {}
    for _ in range(r.number("I")):
        name = r.string()
        shape = [r.number("I") for _ in range(r.number("B"))]
        dtype = DTYPES[r.number("B")]
        variables[name] = np.frombuffer(r.bytes(r.number("I")), dtype).reshape(shape)
    return variables


class Checkpoint:
    """Fills the original's state dictionary from CTranslate2's variables."""

    def __init__(self, variables):
        self.variables, self.state = variables, {}

    def get(self, name):
        return torch.from_numpy(np.array(self.variables[name]))

    def copy(self, to, source):
        self.state[to] = self.get(source)

    def linear(self, to, source):
        self.copy(to + ".weight", source + "/weight")
        self.copy(to + ".bias", source + "/bias")

    def norm(self, to, source):
        self.copy(to + ".weight", source + "/gamma")
        self.copy(to + ".bias", source + "/beta")

    def split(self, to, source, names):
        """Takes a fused projection apart; the original has no bias on the key."""
        weights = self.get(source + "/weight").chunk(len(names))
        biases = self.get(source + "/bias").chunk(len(names))
        for name, weight, bias in zip(names, weights, biases):
            self.state[f"{to}.{name}.weight"] = weight.clone()
            if name == "key":
                assert not bias.any(), f"{source}: a bias on the key"
            else:
                self.state[f"{to}.{name}.bias"] = bias.clone()

    def block(self, to, source, is_decoder):
        self.norm(to + ".attn_ln", source + "/self_attention/layer_norm")
        self.split(to + ".attn", source + "/self_attention/linear_0", ("query", "key", "value"))
        self.linear(to + ".attn.out", source + "/self_attention/linear_1")
        if is_decoder:
            self.norm(to + ".cross_attn_ln", source + "/attention/layer_norm")
            self.linear(to + ".cross_attn.query", source + "/attention/linear_0")
            self.split(to + ".cross_attn", source + "/attention/linear_1", ("key", "value"))
            self.linear(to + ".cross_attn.out", source + "/attention/linear_2")
        self.norm(to + ".mlp_ln", source + "/ffn/layer_norm")
        self.linear(to + ".mlp.0", source + "/ffn/linear_0")
        self.linear(to + ".mlp.2", source + "/ffn/linear_1")

    def count(self, part):
        n = 0
        while f"{part}/layer_{n}/ffn/linear_0/weight" in self.variables:
            n += 1
        return n


def convert(variables):
    c = Checkpoint(variables)
    layers = {part: c.count(part) for part in ("encoder", "decoder")}
    for part, n in layers.items():
        for i in range(n):
            c.block(f"{part}.blocks.{i}", f"{part}/layer_{i}", part == "decoder")
        c.copy(f"{part}.positional_embedding", f"{part}/position_encodings/encodings")
    c.linear("encoder.conv1", "encoder/conv1")
    c.linear("encoder.conv2", "encoder/conv2")
    c.norm("encoder.ln_post", "encoder/layer_norm")
    c.norm("decoder.ln", "decoder/layer_norm")
    c.copy("decoder.token_embedding.weight", "decoder/embeddings/weight")

    n_audio_ctx, n_state = c.state["encoder.positional_embedding"].shape
    n_vocab, _ = c.state["decoder.token_embedding.weight"].shape
    dims = dict(
        n_mels=c.state["encoder.conv1.weight"].shape[1], n_audio_ctx=n_audio_ctx,
        n_audio_state=n_state, n_audio_head=n_state // 64, n_audio_layer=layers["encoder"],
        n_vocab=n_vocab, n_text_ctx=c.state["decoder.positional_embedding"].shape[0],
        n_text_state=n_state, n_text_head=n_state // 64, n_text_layer=layers["decoder"])
    return {"dims": dims, "model_state_dict": c.state}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    torch.save(convert(read_variables(os.path.join(sys.argv[1], "model.bin"))), sys.argv[2])
