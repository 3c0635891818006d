"""Vectors of words and documents. They are asked for when first needed: most callers never do."""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable
from typing import Any

from berth._job import Kept


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        raise ImportError("vectors are arrays of numpy: install it") from None
    return numpy


class Numbers:
    """The word vectors and the tensor of a document."""

    def __init__(self, fetch: Callable[[], Kept]) -> None:
        self._fetch = fetch
        self._rows: Any = None
        self._from_words = False

    def tensor(self) -> Any:
        """[tokens, width] float32; width 0: there is none."""
        kept = self._fetch()
        doc = kept.item.doc.contents
        return self._array(doc.tensor, doc.n_tokens, doc.tensor_width)

    def rows(self) -> Any:
        """[tokens, width] float32: words' if the model has vectors, else the tensor."""
        if self._rows is None:
            kept = self._fetch()  # what doc points to lives as long as this
            doc = kept.item.doc.contents
            self._from_words = bool(doc.vectors)
            data = (
                (doc.vectors, doc.vector_width) if doc.vectors else (doc.tensor, doc.tensor_width)
            )
            self._rows = self._array(data[0], doc.n_tokens, data[1])
        return self._rows

    @staticmethod
    def _array(data: Any, tokens: int, width: int) -> Any:
        numpy = _numpy()
        if not data:
            return numpy.zeros((tokens, 0), dtype=numpy.float32)
        flat = c.cast(data, c.POINTER(c.c_float * (tokens * width))).contents
        return numpy.frombuffer(flat, dtype=numpy.float32).reshape(tokens, width).copy()

    def row(self, i: int) -> Any:
        return self.rows()[i]

    def has(self, i: int) -> bool:
        row = self.row(i)
        return bool(row.any()) if self._from_words else row.size > 0

    def mean(self, start: int, end: int) -> Any:
        rows = self.rows()
        if start == end:
            return _numpy().zeros(rows.shape[1], dtype=rows.dtype)
        return sum(rows[start:end]) / (end - start)

    @staticmethod
    def norm(vector: Any) -> float:
        numpy = _numpy()
        total = (vector**2).sum()
        return float(numpy.sqrt(total)) if total != 0 else 0.0

    @staticmethod
    def similarity(one: Any, other: Any) -> float:
        """The cosine of two vectors; 1 for the same words, 0 where there is no vector."""
        if _words(one) == _words(other):
            return 1.0
        norms = one.vector_norm * other.vector_norm
        if norms == 0:
            return 0.0
        return float(_numpy().dot(one.vector, other.vector) / norms)


def _words(x: Any) -> list[str]:
    return [x.text] if hasattr(x, "i") else [t.text for t in x]
