"""Stand-ins on the toy engine, for tests and for families whose engine is not built yet.

The toy engine echoes text. "toy:sleep=N" is N seconds of work on the way, in turns of 10 ms.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from berth import _native as n
from berth._job import Work
from berth._source import Source

_SLEEP = re.compile(r"toy:sleep=([0-9.]+)")
_TURN_S = 0.01


def _echo(item: n.Item) -> str:
    text: bytes = item.text or b""
    return text.decode("utf-8", "replace")


def _text_work(text: str) -> Work:
    sleep = _SLEEP.fullmatch(text)
    turns = max(1, round(float(sleep[1]) / _TURN_S)) if sleep else 1
    us = round(_TURN_S * 1e6) if sleep else 0
    return Work([("turns", str(turns)), ("turn_us", str(us))]).with_text(text)


@contextlib.contextmanager
def toy_work(audio: Any) -> Iterator[Work]:
    """A request that echoes bytes, or the name of a file that is there."""
    if isinstance(audio, (str, os.PathLike)):
        with open(audio, "rb"):
            yield _text_work(os.path.basename(os.fspath(audio)))
    else:
        yield _text_work(bytes(audio).decode("utf-8", "replace"))


class ToyTokenizer:
    """Characters for tokens, in the form of a Hugging Face tokenizer."""

    def __call__(self, texts: str | Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
        rows = [[ord(ch) for ch in t] for t in ([texts] if isinstance(texts, str) else texts)]
        return {"input_ids": rows, "attention_mask": [[1] * len(r) for r in rows]}

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        return "".join(map(chr, ids))

    def batch_decode(self, rows: Sequence[Sequence[int]], **_: Any) -> list[str]:
        return [self.decode(r) for r in rows]


class ToyTranslator:
    """A translation model that says what it hears."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def generate(self, input_ids: Sequence[Sequence[int]], **_: Any) -> list[list[int]]:
        texts = ("".join(map(chr, row)) for row in input_ids)
        return [[ord(ch) for ch in self._source.run(_text_work(t), _echo)] for t in texts]


class ToyToken:
    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


class ToyDoc:
    """Words between blanks."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = [ToyToken(t) for t in text.split()]

    def __iter__(self) -> Iterator[ToyToken]:
        return iter(self._tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, i: int) -> ToyToken:
        return self._tokens[i]


class ToyLanguage:
    """A spaCy pipeline that only finds words."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __call__(self, text: str) -> ToyDoc:
        return ToyDoc(self._source.run(_text_work(text), _echo))

    def pipe(self, texts: Sequence[str]) -> Iterator[ToyDoc]:
        return map(self, texts)
