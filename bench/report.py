#!/usr/bin/env python3
"""Medians and ratios of one run of run.sh, as Markdown.

usage: report.py RESULTS.jsonl
"""
import json
import statistics
import sys
from collections import defaultdict

OURS = "berth f32"
F32_WORKERS = ("faster:float32:1:2", "faster:float32:2:1")


class Results:
    def __init__(self, path):
        self.values = defaultdict(list)
        self.audio = {}
        with open(path, encoding="utf-8") as f:
            for line in f:
                r = json.loads(line)
                for key, value in r.items():
                    if isinstance(value, (int, float)):
                        self.values[r["work"], r["who"], key].append(value)

    def median(self, work, who, key="wall_s"):
        values = self.values.get((work, who, key))
        return statistics.median(values) if values else None

    def ratio(self, work, peer, key="wall_s"):
        """How many times sooner we are, both medians of one run."""
        ours, theirs = self.median(work, OURS, key), self.median(work, peer, key)
        return theirs / ours if ours and theirs else None


def cell(value, form="{:.2f}"):
    return "-" if value is None else form.format(value)


def ratios(r):
    known = [p for p in F32_WORKERS if r.median("callers", p)]
    best = min(known, key=lambda p: r.median("callers", p)) if known else F32_WORKERS[0]
    rows = [("one stream, 190 s, f32 exact", "faster-whisper float32, 2 threads", "stream",
             "faster:float32:1:2", 2.5),
            ("same", "openai-whisper f32", "stream", "openai", 2),
            ("same", "faster-whisper int8", "stream", "faster:int8:1:2", 1.3),
            ("8 callers, 5 to 28 s, f32 exact", f"faster-whisper float32 ({best})", "callers",
             best, 2),
            ("start to first text, 11 s", "faster-whisper int8 script", "first",
             "faster:int8:1:2", 5)]
    print("| work | peer | ours s | theirs s | ratio | at least |\n| --- | --- | --- | --- | --- | --- |")
    for name, peer, work, who, least in rows:
        print(f"| {name} | {peer} | {cell(r.median(work, OURS), '{:.3f}')} | "
              f"{cell(r.median(work, who), '{:.3f}')} | {cell(r.ratio(work, who))}x | {least}x |")
    print(f"\n8 callers, p95: ours {cell(r.median('callers', OURS, 'p95_s'))} s, {best} "
          f"{cell(r.median('callers', best, 'p95_s'))} s.\n")


def details(r):
    print("| work | who | s (median) | fastest | slowest | RTFx | tokens | p50 s | p95 s | peak MB |\n"
          "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for work, who in dict.fromkeys((w, p) for w, p, _ in r.values):
        walls = r.values[work, who, "wall_s"]
        audio = r.median(work, who, "audio_s")
        rtfx = audio / statistics.median(walls) if audio else None
        tokens = cell(r.median(work, who, "tokens"), "{:.0f}")
        print(f"| {work} | {who} | {statistics.median(walls):.3f} | {min(walls):.3f} | "
              f"{max(walls):.3f} | {cell(rtfx, '{:.1f}')} | {tokens} | "
              f"{cell(r.median(work, who, 'p50_s'))} | {cell(r.median(work, who, 'p95_s'))} | "
              f"{cell(r.median(work, who, 'peak_rss_mb'), '{:.0f}')} |")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    results = Results(sys.argv[1])
    ratios(results)
    details(results)
