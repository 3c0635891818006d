"""A slice of a document: an entity, a sentence, a noun chunk, or what a caller cuts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, overload

from berth._token import Token

if TYPE_CHECKING:
    from berth._doc import Doc


class Span:
    """Tokens [start, end) of a document."""

    __slots__ = ("doc", "end", "id_", "kb_id_", "label_", "start")

    def __init__(
        self, doc: Doc, start: int, end: int, label: str = "", kb_id: str = "", span_id: str = ""
    ) -> None:
        if not 0 <= start <= end <= len(doc):
            raise IndexError(f"there are no tokens {start} to {end} in a document of {len(doc)}")
        self.doc = doc
        self.start = start
        self.end = end
        self.label_ = label
        self.kb_id_ = kb_id
        self.id_ = span_id

    def _key(self) -> tuple[object, ...]:
        return (id(self.doc), self.start, self.end, self.label_, self.kb_id_)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Span):
            return self._key() == other._key()
        return NotImplemented

    def __lt__(self, other: Span) -> bool:
        return (self.start, self.end) < (other.start, other.end)

    def __hash__(self) -> int:
        return hash(self._key())

    def __len__(self) -> int:
        return self.end - self.start

    def __iter__(self) -> Iterator[Token]:
        return (Token(self.doc, i) for i in range(self.start, self.end))

    @overload
    def __getitem__(self, at: int) -> Token: ...
    @overload
    def __getitem__(self, at: slice) -> Span: ...
    def __getitem__(self, at: int | slice) -> Token | Span:
        if isinstance(at, slice):
            start, end = bounds(at, len(self))
            return Span(self.doc, self.start + start, self.start + end)
        i = at + len(self) if at < 0 else at
        if not 0 <= i < len(self):
            raise IndexError(f"a span of {len(self)} tokens has no token {at}")
        return Token(self.doc, self.start + i)

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    # ---- its text ----

    @property
    def start_char(self) -> int:
        return self.doc._offset(self.start)

    @property
    def end_char(self) -> int:
        return int(self.doc._tokens[self.end - 1].idx_end) if len(self) else self.start_char

    @property
    def text(self) -> str:
        return self.doc.text[self.start_char : self.end_char]

    @property
    def text_with_ws(self) -> str:
        return self.text + (self[-1].whitespace_ if len(self) else "")

    @property
    def lemma_(self) -> str:
        return "".join(t.lemma_ + t.whitespace_ for t in self).strip()

    @property
    def ent_id_(self) -> str:
        return self.id_

    # ---- what is in it and round it ----

    @property
    def root(self) -> Token:
        """The token nearest to its sentence's root; punctuation and white space only if nothing else
        is there."""
        if not len(self):
            raise IndexError("an empty span has no root")
        best, fewest = self.start, len(self.doc)
        for t in self:
            if t.head.i == t.i:
                return t
        for t in self:
            if self.start <= t.head.i < self.end:
                continue
            alone = (t.is_punct or t.is_space) and not self.doc._children[t.i]
            steps = len(self.doc) - 1 if alone else sum(1 for _ in t.ancestors)
            if steps < fewest:
                best, fewest = t.i, steps
        return Token(self.doc, best)

    @property
    def sent(self) -> Span:
        """The sentence that it begins in. ValueError if nothing has found sentences."""
        for sent in self.doc.sents:
            if sent.start <= self.start < sent.end:
                return sent
        raise ValueError("the span is in no sentence")

    @property
    def sents(self) -> Iterator[Span]:
        """All sentences that it has a part of."""
        return (s for s in self.doc.sents if s.start < self.end and s.end > self.start)

    @property
    def ents(self) -> tuple[Span, ...]:
        """Entities that lie in it."""
        return tuple(e for e in self.doc.ents if e.start >= self.start and e.end <= self.end)

    @property
    def noun_chunks(self) -> Iterator[Span]:
        """Noun chunks that lie in it."""
        chunks = self.doc.noun_chunks
        return (c for c in chunks if c.start >= self.start and c.end <= self.end)

    @property
    def lefts(self) -> Iterator[Token]:
        """Children of its tokens before it."""
        return (k for t in reversed(list(self)) for k in t.lefts if k.i < self.start)

    @property
    def rights(self) -> Iterator[Token]:
        """Children of its tokens behind it."""
        return (k for t in self for k in t.rights if k.i >= self.end)

    @property
    def subtree(self) -> Iterator[Token]:
        """It and all that depends on it."""
        yield from (w for t in self.lefts for w in t.subtree)
        yield from self
        yield from (w for t in self.rights for w in t.subtree)

    @property
    def conjuncts(self) -> tuple[Token, ...]:
        return self.root.conjuncts

    # ---- vectors ----

    @property
    def has_vector(self) -> bool:
        return any(t.has_vector for t in self)

    @property
    def vector(self) -> Any:
        """[width] float32 of numpy: the mean of its tokens'."""
        return self.doc._numbers.mean(self.start, self.end)

    @property
    def vector_norm(self) -> float:
        return self.doc._numbers.norm(self.vector)

    def similarity(self, other: Any) -> float:
        """The cosine to a token, a span or a document."""
        return self.doc._numbers.similarity(self, other)


def bounds(at: slice, n: int) -> tuple[int, int]:
    """The ends of a slice without steps, within n."""
    start, end, step = at.indices(n)
    if step != 1:
        raise ValueError("a document is cut in steps of one")
    return start, max(start, end)
