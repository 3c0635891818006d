"""The declarations for ctypes against what a C compiler makes of the headers."""

from __future__ import annotations

import ctypes as c
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from berth import _native as n

ROOT = Path(__file__).resolve().parents[2]
STRUCTS = {
    "berth_error": n.Error,
    "berth_input": n.Input,
    "berth_option": n.Option,
    "berth_request": n.Request,
    "berth_segment": n.Segment,
    "berth_transcript": n.Transcript,
    "berth_hypothesis": n.Hypothesis,
    "berth_sentence": n.Sentence,
    "berth_translation": n.Translation,
    "berth_token": n.Token,
    "berth_span": n.Span,
    "berth_doc": n.Doc,
    "berth_item": n.Item,
    "berth_config": n.Config,
    "berth_acquire_options": n.AcquireOptions,
    "berth_model_stats": n.ModelStats,
    "berth_usage": n.Usage,
    "berth_cleanup_report": n.CleanupReport,
}


def test_layouts(tmp_path: Path) -> None:
    cc = shutil.which("cc") or shutil.which("gcc")
    if not cc or not (ROOT / "include/berth/berth.h").exists():
        pytest.skip("no C compiler or no headers")
    lines = ["#include <berth/berth.h>", "#include <stdio.h>", "int main(void) {"]
    expected = []
    for name, struct in STRUCTS.items():
        lines.append(f'printf("%zu\\n", sizeof(struct {name}));')
        expected.append((name, c.sizeof(struct)))
        for field in struct._fields_:
            lines.append(f'printf("%zu\\n", offsetof(struct {name}, {field[0]}));')
            expected.append((f"{name}.{field[0]}", getattr(struct, field[0]).offset))
    (tmp_path / "layout.c").write_text("\n".join(lines) + "return 0; }\n")
    (tmp_path / "berth").mkdir()
    template = (ROOT / "include/berth/version.h.in").read_text()
    (tmp_path / "berth/version.h").write_text(re.sub(r"@\w+@", "0", template))
    program = tmp_path / "layout"
    subprocess.run(
        [cc, "-I", ROOT / "include", "-I", tmp_path, "-o", program, tmp_path / "layout.c"],
        check=True,
    )
    said = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
    for (what, mine), theirs in zip(expected, said):
        assert mine == int(theirs), what
    assert len(said) == len(expected)


def test_milliseconds_round_up() -> None:
    assert [n.milliseconds(s) for s in (0, 0.0001, 0.001, 0.0501, 30)] == [0, 1, 1, 51, 30000]
