"""Documents of spaCy's, read from tests/golden/docs as if libberth had given them."""

from __future__ import annotations

import ctypes as c
import json
from pathlib import Path
from typing import Any

from berth import _native as n
from berth._doc import Doc
from berth._job import Kept

FOLDER = Path(__file__).resolve().parents[2] / "tests/golden/docs"
NAMES = sorted(f.stem for f in FOLDER.glob("*.json"))


class Made(Kept):
    """An item of Python's own making."""

    def __init__(self, doc: n.Doc) -> None:
        self._made = n.Item(doc=c.pointer(doc))

    @property
    def item(self) -> n.Item:
        return self._made

    def __del__(self) -> None:
        pass


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def _column(columns: dict[str, str], key: str, count: int) -> list[int]:
    return [int(v) for v in columns[key].split()] if columns.get(key) else [0] * count


def _tokens(columns: dict[str, str], strings: list[bytes]) -> Any:
    count = len(columns["end"].split())
    made = (n.Token * count)()
    byte = character = 0
    for key, _ in n.Token._fields_:
        column = _column(columns, key, count)
        for i, t in enumerate(made):
            value = column[i]
            is_string = (
                n.Token._fields_[[f for f, _ in n.Token._fields_].index(key)][1] is c.c_char_p
            )
            setattr(t, key, strings[value] if is_string else value)
    for i, t in enumerate(made):  # places are said as distances
        t.begin = byte = byte + t.begin
        t.end = byte = byte + t.end
        t.idx = character = character + t.idx
        t.idx_end = character = character + t.idx_end
        t.head += i
    return made


def _spans(columns: dict[str, str], strings: list[bytes]) -> Any:
    count = len(columns["end"].split())
    values = {k: _column(columns, k, count) for k, _ in n.Span._fields_}
    return (n.Span * count)(
        *(
            n.Span(
                values["begin"][i],
                values["end"][i],
                *(strings[values[k][i]] for k in ("label", "id", "kb_id")),
            )
            for i in range(count)
        )
    )


def doc_of(line: dict[str, Any], **numbers: Any) -> Doc:
    """The document of an item's line."""
    d = line["doc"]
    strings = [s.encode() for s in d["strings"]]
    tokens = _tokens(d["tokens"], strings)
    spans = {k: _spans(d[k], strings) for k in ("ents", "sents", "noun_chunks")}
    made = n.Doc(
        text=d["text"].encode(),
        language=d["language"].encode(),
        components=d["components"].encode(),
        tokens=tokens,
        n_tokens=len(tokens),
        **spans,
        **{f"n_{k}": len(v) for k, v in spans.items()},
        **numbers,
    )
    kept = Made(made)
    return Doc(kept, lambda: kept)
