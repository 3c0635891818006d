"""A document as spaCy's Doc: what a pipeline has found in a text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, overload

from berth import _native as n
from berth._job import Kept
from berth._span import Span, bounds
from berth._text import plain
from berth._token import Token
from berth._vectors import Numbers

_STRINGS = ("tag", "pos", "lemma", "dep")


class Doc:
    """Tokens in their order. Immutable; it needs no lease, and any thread may read it.

    What it says lies in memory of libberth, which lives as long as the document and what was cut from
    it: attributes cost nothing until they are asked for.
    """

    def __init__(self, kept: Kept, again: Callable[[], Kept]) -> None:
        self._kept = kept
        self._doc: n.Doc = kept.item.doc.contents
        self._tokens = self._doc.tokens
        self._numbers = Numbers(again)
        self.text = plain(self._doc.text)
        self.lang_ = plain(self._doc.language)

    def __len__(self) -> int:
        return int(self._doc.n_tokens)

    def __iter__(self) -> Iterator[Token]:
        return (Token(self, i) for i in range(len(self)))

    @overload
    def __getitem__(self, at: int) -> Token: ...
    @overload
    def __getitem__(self, at: slice) -> Span: ...
    def __getitem__(self, at: int | slice) -> Token | Span:
        if isinstance(at, slice):
            return Span(self, *bounds(at, len(self)))
        i = at + len(self) if at < 0 else at
        if not 0 <= i < len(self):
            raise IndexError(f"a document of {len(self)} tokens has no token {at}")
        return Token(self, i)

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    @property
    def text_with_ws(self) -> str:
        return self.text

    @property
    def pipe_names(self) -> list[str]:
        """The components that have run, in their order."""
        return [name for name in plain(self._doc.components).split(",") if name]

    # ---- inside ----

    def _offset(self, i: int) -> int:
        """Where token i begins; the text's end behind the last one."""
        return int(self._tokens[i].idx) if i < len(self) else len(self.text)

    @cached_property
    def _children(self) -> list[list[int]]:
        """Of each token, in their order."""
        found: list[list[int]] = [[] for _ in range(len(self))]
        for i in range(len(self)):
            head = self._tokens[i].head
            if head != i:
                found[head].append(i)
        return found

    def _spans(self, spans: Any, count: int) -> Iterator[Span]:
        for k in range(count):
            s = spans[k]
            yield Span(self, s.begin, s.end, plain(s.label), plain(s.kb_id), plain(s.id))

    # ---- what the pipeline has found ----

    @cached_property
    def ents(self) -> tuple[Span, ...]:
        """Named entities."""
        return tuple(self._spans(self._doc.ents, self._doc.n_ents))

    @property
    def sents(self) -> Iterator[Span]:
        """Sentences. ValueError if nothing has looked for them."""
        if not self.has_annotation("SENT_START"):
            raise ValueError(
                "nothing has set the bounds of sentences: the pipeline has no parser, senter or "
                "sentencizer, or it was disabled"
            )
        return self._spans(self._doc.sents, self._doc.n_sents)

    @property
    def noun_chunks(self) -> Iterator[Span]:
        """Noun phrases without what follows them. ValueError if nothing has parsed the text."""
        if not self.has_annotation("DEP"):
            raise ValueError(
                "noun chunks need a parse: the pipeline has no parser, or it was disabled"
            )
        return self._spans(self._doc.noun_chunks, self._doc.n_noun_chunks)

    def has_annotation(self, attr: str, *, require_complete: bool = False) -> bool:
        """Whether anything has set an attribute: "TAG", "POS", "MORPH", "LEMMA", "DEP", "HEAD",
        "ENT_IOB", "ENT_TYPE", "SENT_START"; of all tokens, or of any."""
        if not len(self):
            return True
        get = self._getter(attr)
        first = 0
        if attr in ("SENT_START", "IS_SENT_START", "IS_SENT_END"):
            if len(self) == 1:
                return True
            first = 1  # the first token always begins a sentence
        set_ = (bool(get(self._tokens[i])) for i in range(first, len(self)))
        return all(set_) if require_complete else any(set_)

    def _getter(self, attr: str) -> Callable[[n.Token], object]:
        name = attr.lower()
        if name == "morph":
            # most words have no features, and what sets the part of speech says so
            tagged = "morphologizer" in self.pipe_names
            return lambda t: t.morph or t.pos or tagged
        names = {
            "head": "dep",
            "is_sent_start": "sent_start",
            "is_sent_end": "sent_start",
            "orth": "text",
            **{s: s for s in (*_STRINGS, "ent_iob", "ent_type", "ent_id", "ent_kb_id")},
            **{s: s for s in ("sent_start", "norm", "lower", "shape", "prefix", "suffix")},
        }
        if name not in names:
            raise ValueError(f"there is no attribute {attr!r}")
        field = names[name]
        return lambda t: getattr(t, field)

    def char_span(
        self,
        start_idx: int,
        end_idx: int,
        label: str = "",
        kb_id: str = "",
        alignment_mode: str = "strict",
    ) -> Span | None:
        """The tokens of characters [start_idx, end_idx). "strict": None unless they begin and end
        there; "contract": those that lie in it; "expand": those that it touches."""
        if alignment_mode not in ("strict", "contract", "expand"):
            raise ValueError(
                f"alignment_mode is strict, contract or expand, not {alignment_mode!r}"
            )
        if alignment_mode == "expand":
            inside = [t.i for t in self if t.idx < end_idx and t.idx + len(t) > start_idx]
        else:
            inside = [t.i for t in self if t.idx >= start_idx and t.idx + len(t) <= end_idx]
        if not inside:
            return None
        span = Span(self, inside[0], inside[-1] + 1, label, kb_id)
        exact = span.start_char == start_idx and span.end_char == end_idx
        return span if exact or alignment_mode != "strict" else None

    def to_json(self) -> dict[str, Any]:
        """As spaCy's Doc.to_json(), key by key."""
        data: dict[str, Any] = {"text": self.text}
        if self.has_annotation("ENT_IOB"):
            data["ents"] = [
                {"start": e.start_char, "end": e.end_char, "label": e.label_} for e in self.ents
            ]
        if self.has_annotation("SENT_START"):
            data["sents"] = [{"start": s.start_char, "end": s.end_char} for s in self.sents]
        fields = [
            f for f in ("tag", "pos", "morph", "lemma", "dep") if self.has_annotation(f.upper())
        ]
        data["tokens"] = [self._token_json(i, fields) for i in range(len(self))]
        return data

    def _token_json(self, i: int, fields: list[str]) -> dict[str, Any]:
        t = self._tokens[i]
        data: dict[str, Any] = {"id": i, "start": t.idx, "end": t.idx_end}
        data.update((f, plain(getattr(t, f))) for f in fields)
        if "dep" in fields:
            data["head"] = t.head
        return data

    # ---- vectors ----

    @property
    def tensor(self) -> Any:
        """[tokens, width] float32 of numpy: what the pipeline's first layers make of each token."""
        return self._numbers.tensor()

    @property
    def has_vector(self) -> bool:
        return bool(self._numbers.rows().any())

    @property
    def vector(self) -> Any:
        """[width] float32 of numpy: the mean of its tokens'."""
        return self._numbers.mean(0, len(self))

    @property
    def vector_norm(self) -> float:
        return self._numbers.norm(self.vector)

    def similarity(self, other: Any) -> float:
        """The cosine to a token, a span or a document."""
        return self._numbers.similarity(self, other)
