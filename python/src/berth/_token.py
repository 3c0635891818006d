"""A token of a document, with spaCy's attributes under spaCy's names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from berth._text import plain

if TYPE_CHECKING:
    from berth._doc import Doc
    from berth._span import Span

_IOB = ("", "I", "O", "B")


class Morph:
    """Morphological features: str() is "Case=Nom|Number=Sing"."""

    def __init__(self, text: str) -> None:
        self._features = text.split("|") if text else []

    def __iter__(self) -> Iterator[str]:
        return iter(self._features)

    def __len__(self) -> int:
        return len(self._features)

    def __contains__(self, feature: str) -> bool:
        return feature in self._features

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Morph):
            return self._features == other._features
        return NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return "|".join(self._features)

    __repr__ = __str__

    def to_json(self) -> str:
        return str(self)

    def to_dict(self) -> dict[str, str]:
        """{"Case": "Nom"}"""
        parts = (f.partition("=") for f in self._features)
        return {name: values for name, _, values in parts}

    def get(self, field: str, default: list[str] | None = None) -> list[str]:
        """The values of a field."""
        for f in self._features:
            name, _, values = f.partition("=")
            if name == field:
                return values.split(",")
        return [] if default is None else default


def _flag(number: int) -> Any:
    return property(lambda self: bool(self.doc._tokens[self.i].flags >> number & 1))


def _string(name: str) -> Any:
    return property(lambda self: plain(getattr(self.doc._tokens[self.i], name)))


class Token:
    """A word, a number, a punctuation mark. Equal to another of the same document and place."""

    __slots__ = ("doc", "i")

    def __init__(self, doc: Doc, i: int) -> None:
        self.doc = doc
        self.i = i

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Token):
            return self.doc is other.doc and self.i == other.i
        return NotImplemented

    def __lt__(self, other: Token) -> bool:
        return self.i < other.i

    def __le__(self, other: Token) -> bool:
        return self.i <= other.i

    def __hash__(self) -> int:
        return hash((id(self.doc), self.i))

    def __len__(self) -> int:
        t = self.doc._tokens[self.i]
        return int(t.idx_end - t.idx)

    def __str__(self) -> str:
        return str(self.text)

    __repr__ = __str__

    # ---- its text ----

    text = orth_ = _string("text")
    norm_, lower_, shape_ = _string("norm"), _string("lower"), _string("shape")
    prefix_, suffix_ = _string("prefix"), _string("suffix")

    @property
    def idx(self) -> int:
        """Where it begins in the text, in characters."""
        return int(self.doc._tokens[self.i].idx)

    @property
    def whitespace_(self) -> str:
        return " " if self.doc._tokens[self.i].space else ""

    @property
    def text_with_ws(self) -> str:
        return str(self.text) + self.whitespace_

    @property
    def lang_(self) -> str:
        return self.doc.lang_

    is_alpha, is_ascii, is_digit, is_lower = _flag(1), _flag(2), _flag(3), _flag(4)
    is_punct, is_space, is_title, is_upper = _flag(5), _flag(6), _flag(7), _flag(8)
    like_url, like_num, like_email, is_stop = _flag(9), _flag(10), _flag(11), _flag(12)
    is_bracket, is_quote, is_left_punct = _flag(14), _flag(15), _flag(16)
    is_right_punct, is_currency = _flag(17), _flag(18)

    # ---- what the pipeline has found ----

    lemma_, pos_, tag_, dep_ = _string("lemma"), _string("pos"), _string("tag"), _string("dep")
    ent_type_, ent_id_, ent_kb_id_ = _string("ent_type"), _string("ent_id"), _string("ent_kb_id")

    @property
    def morph(self) -> Morph:
        return Morph(plain(self.doc._tokens[self.i].morph))

    @property
    def ent_iob(self) -> int:
        """0 nothing is known, 1 inside an entity, 2 outside, 3 its begin."""
        return int(self.doc._tokens[self.i].ent_iob)

    @property
    def ent_iob_(self) -> str:
        return _IOB[self.ent_iob]

    # ---- sentences ----

    @property
    def is_sent_start(self) -> bool | None:
        """None: nothing is known."""
        start = self.doc._tokens[self.i].sent_start
        return None if start == 0 else start > 0

    @property
    def is_sent_end(self) -> bool | None:
        if self.i + 1 == len(self.doc):
            return True
        return self.doc[self.i + 1].is_sent_start

    @property
    def sent(self) -> Span:
        """ValueError if nothing has found sentences."""
        return self.doc[self.i : self.i + 1].sent

    # ---- syntax ----

    @property
    def head(self) -> Token:
        """What it depends on; itself for a root."""
        return Token(self.doc, self.doc._tokens[self.i].head)

    def has_head(self) -> bool:
        return bool(self.dep_)

    has_dep = has_head

    @property
    def lefts(self) -> Iterator[Token]:
        """Its children before it."""
        return (Token(self.doc, k) for k in self.doc._children[self.i] if k < self.i)

    @property
    def rights(self) -> Iterator[Token]:
        """Its children behind it."""
        return (Token(self.doc, k) for k in self.doc._children[self.i] if k > self.i)

    @property
    def children(self) -> Iterator[Token]:
        return (Token(self.doc, k) for k in self.doc._children[self.i])

    @property
    def n_lefts(self) -> int:
        return sum(1 for _ in self.lefts)

    @property
    def n_rights(self) -> int:
        return sum(1 for _ in self.rights)

    @property
    def subtree(self) -> Iterator[Token]:
        """It and all that depends on it: left children with theirs, itself, right ones."""
        todo: list[tuple[int, bool]] = [(self.i, False)]
        while todo:
            i, opened = todo.pop()
            if opened:
                yield Token(self.doc, i)
                continue
            children = self.doc._children[i]
            todo += [(k, False) for k in reversed(children) if k > i]
            todo.append((i, True))
            todo += [(k, False) for k in reversed(children) if k < i]

    @property
    def left_edge(self) -> Token:
        return min(self.subtree)

    @property
    def right_edge(self) -> Token:
        return max(self.subtree)

    @property
    def ancestors(self) -> Iterator[Token]:
        """Its head, that one's head, up to the root."""
        token = self
        for _ in range(len(self.doc)):
            head = token.head
            if head.i == token.i:
                return
            yield head
            token = head

    def is_ancestor(self, descendant: Token) -> bool:
        return any(a.i == self.i for a in descendant.ancestors)

    @property
    def conjuncts(self) -> tuple[Token, ...]:
        """What it is coordinated with, without itself."""
        start = self
        while start.dep_ == "conj" and start.head.i != start.i:
            start = start.head
        found = [start]
        for word in found:
            found += [k for k in word.rights if k.dep_ == "conj"]
        return tuple(w for w in found if w.i != self.i)

    def nbor(self, i: int = 1) -> Token:
        """The token i places on. IndexError beyond the document."""
        if not 0 <= self.i + i < len(self.doc):
            raise IndexError(f"token {self.i} has no neighbour at {i:+d}")
        return Token(self.doc, self.i + i)

    # ---- vectors ----

    @property
    def has_vector(self) -> bool:
        return self.doc._numbers.has(self.i)

    @property
    def vector(self) -> Any:
        """[width] float32 of numpy: the word's, else its row of the tensor."""
        return self.doc._numbers.row(self.i)

    @property
    def vector_norm(self) -> float:
        return self.doc._numbers.norm(self.vector)

    def similarity(self, other: Any) -> float:
        """The cosine to a token, a span or a document."""
        return self.doc._numbers.similarity(self, other)
