#!/usr/bin/env python3
"""Makes tests/golden/mel.txt: openai-whisper 20250625's log-mel spectrogram of made-up sound.

usage: python tools/golden_mel.py    (in an environment with openai-whisper==20250625 and torch)

tests/unit/audio/test_mel.c makes the same sound and compares. One line a window:
  n_mels n_samples seek n padded  sum norm  then 48 times: row band value
"""
import os
import zlib

import numpy as np
import torch
from whisper.audio import log_mel_spectrogram, mel_filters, pad_or_trim

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "mel.txt")
# samples -> windows (seek, n, padded)
CASES = [
    (0, [(0, 0, 0), (0, 0, 1)]),
    (1, [(0, 0, 0), (0, 0, 1)]),
    (150, [(0, 0, 0), (0, 0, 1)]),
    (201, [(0, 1, 0), (0, 1, 1)]),
    (16000, [(0, 100, 0), (0, 100, 1)]),
    (73123, [(0, 457, 0), (0, 457, 1), (200, 257, 0)]),
    (480000, [(0, 3000, 0), (0, 3000, 1), (2900, 100, 0)]),
    (561234, [(0, 3000, 0), (1234, 2273, 0), (3000, 507, 0), (3000, 507, 1)]),
]


def sound(n):
    """A rising triangle tone, loud and quiet in turn, over noise: integers only."""
    out, state, phase, step = np.zeros(n, np.int16), 1, 0, 20000000
    for i in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        phase = (phase + step) & 0xFFFFFFFF
        step = (step + 1777) & 0x7FFFFFFF
        tone = abs((phase >> 16) - 32768) - 16384
        quiet = (i >> 13) % 5
        out[i] = (tone >> (2 * quiet)) + ((state >> 24) - 128 >> quiet)
    return out


def main():
    audio = sound(max(n for n, _ in CASES)).astype(np.float32) / 32768.0
    lines = []
    for n_mels in (80, 128):
        bank = mel_filters("cpu", n_mels).numpy() + np.float32(0)  # its one -0.0 becomes 0.0
        lines.append(f"filters {n_mels} {zlib.crc32(bank.astype('<f4').tobytes()):08x}")
    for n_mels in (80, 128):
        for n_samples, windows in CASES:
            mel = log_mel_spectrogram(torch.from_numpy(audio[:n_samples]), n_mels, padding=480000)
            for seek, n, padded in windows:
                part = mel[:, seek:] if padded else mel[:, seek:seek + n]
                w = pad_or_trim(part, 3000).numpy().T.astype(np.float64)
                at = np.random.default_rng(n_samples + seek + n_mels)
                # half of the places among the rows of sound and just behind them
                rows = [int(r) for r in at.integers(0, min(n + 6, 3000), 24)]
                rows += [int(r) for r in at.integers(0, 3000, 24)]
                bands = [int(b) for b in at.integers(0, n_mels, 48)]
                values = " ".join(f"{r} {b} {w[r, b]:.7g}" for r, b in zip(rows, bands))
                lines.append(f"window {n_mels} {n_samples} {seek} {n} {padded} {w.sum():.9g} "
                             f"{np.sqrt((w * w).sum()):.9g} {values}")
    with open(OUT, "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
