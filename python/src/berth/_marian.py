"""Translation: (model, tokenizer) as transformers' MarianMT has them, and model.translate()."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any, overload

from berth import _native as n
from berth._core import core
from berth._job import Work
from berth._source import Source
from berth.errors import NotSupported

Rows = list[list[int]]


def _string(text: bytes | None) -> str:
    return (text or b"").decode("utf-8", "replace")


def _sentences(item: n.Item) -> list[n.Sentence]:
    t = item.translation.contents
    return [t.sentences[i] for i in range(t.n_sentences)]


def _source_rows(item: n.Item) -> Rows:
    return [list(s.tokens[: s.n_tokens]) for s in _sentences(item)]


def _hypotheses(item: n.Item) -> list[list[n.Hypothesis]]:
    return [[s.hypotheses[i] for i in range(s.n_hypotheses)] for s in _sentences(item)]


def _target_rows(item: n.Item) -> list[Rows]:
    return [[list(h.tokens[: h.n_tokens]) for h in row] for row in _hypotheses(item)]


def _texts(item: n.Item) -> list[str]:
    return [_string(row[0].text) for row in _hypotheses(item)]


def _option(value: Any) -> str:
    """An option as the engine reads it; a glossary is a dict."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(item: n.Item) -> str:
    return _string(item.translation.contents.text if item.translation else item.text)


# ---- arrays ----


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _array(rows: Rows, kind: str | None) -> Any:
    """Rows of one length as what return_tensors asks for: "pt" is torch's, numpy's without torch."""
    if kind is None:
        return rows
    if kind not in ("pt", "np"):
        raise NotSupported(f"return_tensors={kind!r}: 'pt' and 'np' are there")
    if len({len(row) for row in rows}) > 1:
        raise ValueError(
            "the texts have different numbers of tokens: padding=True makes them one tensor"
        )
    torch = _module("torch") if kind == "pt" else None
    if torch is not None:
        return torch.tensor(rows, dtype=torch.long)
    numpy = _module("numpy")
    if numpy is None:
        raise ImportError(f"return_tensors={kind!r} needs torch or numpy: install one of them")
    return numpy.array(rows, dtype=numpy.int64)


def _kind_of(array: Any) -> str | None:
    module = type(array).__module__.partition(".")[0]
    return {"torch": "pt", "numpy": "np"}.get(module)


def _plain(array: Any) -> Any:
    """Lists of what may be a tensor."""
    return array.tolist() if hasattr(array, "tolist") else array


def _padded(rows: Rows, value: int, length: int | None = None) -> Rows:
    most = max([len(row) for row in rows] + [length or 0])
    return [row + [value] * (most - len(row)) for row in rows]


def _pad_of(model: str) -> int:
    """What a Hugging Face directory says of padding; -1: nothing."""
    found = core().find(model)
    try:
        with open(os.path.join(found.path if found else model, "config.json"), "rb") as file:
            config = json.load(file)
        return int(config["pad_token_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return -1


def _choice(name: str, value: Any, words: dict[str, bool], *others: str) -> Any:
    """What a word that transformers knows comes to."""
    if isinstance(value, bool) or value in others:
        return value
    if value not in words:
        raise ValueError(f"{name}={value!r}: it knows {', '.join([*words, *others])}")
    return words[value]


class BatchEncoding(dict[str, Any]):
    """What a tokenizer gives: a dict whose entries are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def to(self, device: Any) -> BatchEncoding:
        """Itself: where the model computes is the manager's business."""
        return self


class MarianTokenizer:
    """Text to token ids and back, as transformers' MarianTokenizer does it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._pad: int | None = None
        self._eos: int | None = None

    def _encode(self, texts: Iterable[str]) -> Rows:
        works = []
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(f"a text is a str, not {type(text).__name__}")
            works.append(Work([("task", "tokenize")]).with_text(text))
        return [rows[0] if rows else [] for rows in self._source.run_all(works, _source_rows)]

    @property
    def eos_token_id(self) -> int:
        """The id that ends every row."""
        if self._eos is None:
            self._eos = self._encode(["a"])[0][-1]
        return self._eos

    @property
    def pad_token_id(self) -> int:
        """The id that fills short rows; that of the end where a model has none of its own."""
        if self._pad is None:
            self._pad = _pad_of(self._source.model)
        return self.eos_token_id if self._pad < 0 else self._pad

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        return_tensors: str | None = None,
        padding: bool | str = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        **others: Any,
    ) -> BatchEncoding:
        """{"input_ids", "attention_mask"} of a text, or of each of several.

        padding: True or "longest" to the longest, "max_length" to max_length (512). truncation: at most
        max_length (512) tokens, the end token included. TypeError for options that are not known.
        """
        padding = _choice("padding", padding, {"longest": True, "do_not_pad": False}, "max_length")
        truncation = _choice("truncation", truncation, {"longest_first": True, "do_not_truncate": False})
        if truncation and max_length is not None and max_length < 2:
            raise ValueError("truncation wants a max_length of at least 2")
        known = {"add_special_tokens": True, "return_attention_mask": True}
        for name, value in others.items():
            if name not in known:
                raise TypeError(f"the tokenizer got an unexpected keyword argument {name!r}")
            if value != known[name]:
                raise NotSupported(f"{name}={value!r} is not built")
        single = isinstance(text, str)
        rows = self._encode([text] if isinstance(text, str) else text)
        if truncation:
            most = max_length or 512
            rows = [r if len(r) <= most else r[: most - 1] + [r[-1]] for r in rows]
        masks = [[1] * len(row) for row in rows]
        if padding:
            length = (max_length or 512) if padding == "max_length" else None
            rows = _padded(rows, self.pad_token_id, length)
            masks = _padded(masks, 0, length)
        if single and return_tensors is None:
            return BatchEncoding(input_ids=rows[0], attention_mask=masks[0])
        return BatchEncoding(
            input_ids=_array(rows, return_tensors), attention_mask=_array(masks, return_tensors)
        )

    def encode(self, text: str, *, return_tensors: str | None = None, **options: Any) -> Any:
        """The ids of one text."""
        ids = self([text], return_tensors=return_tensors, **options)["input_ids"]
        return ids if return_tensors else ids[0]

    def decode(self, token_ids: Any, *, skip_special_tokens: bool = False, **_: Any) -> str:
        """The text of one row of ids."""
        ids = _plain(token_ids)
        rows = [[ids] if isinstance(ids, int) else ids]
        return self.batch_decode(rows, skip_special_tokens=skip_special_tokens)[0]

    def batch_decode(
        self, sequences: Any, *, skip_special_tokens: bool = False, **_: Any
    ) -> list[str]:
        """The texts of rows of ids."""
        rows = [[int(i) for i in _plain(row)] for row in _plain(sequences)]
        if not rows:
            return []
        keep = "false" if skip_special_tokens else "true"
        work = Work([("task", "detokenize"), ("special_tokens", keep)])
        return self._source.run(work.with_text(json.dumps(rows)), _texts)


# generate()'s names, and libberth's
_GENERATE = {
    "num_beams": "beams",
    "max_length": "max_length",
    "length_penalty": "length_penalty",
    "early_stopping": "early_stopping",
}
# known, and not built: only the value that switches it off is taken
_NOT_BUILT: dict[str, object] = {
    "do_sample": False,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "num_beam_groups": 1,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "output_scores": False,
    "return_dict_in_generate": False,
    "use_cache": True,
}


def _generate_options(options: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for name, value in options.items():
        if value is None:
            continue
        if name in _NOT_BUILT:
            if value != _NOT_BUILT[name]:
                raise NotSupported(f"{name}={value!r} is not built")
        elif name == "max_new_tokens":  # the start token counts; a max_length beside it does not
            found.append(("max_length", str(int(value) + 1)))
        elif name == "max_length" and options.get("max_new_tokens") is not None:
            continue
        elif name == "num_return_sequences":
            found.append(("alternatives", str(int(value) - 1)))
        elif name in _GENERATE:
            found.append((_GENERATE[name], str(value)))
        else:
            raise TypeError(f"generate() got an unexpected keyword argument {name!r}")
    return found


def _masked(ids: Any, mask: Any) -> Rows:
    rows = _plain(ids)
    if rows and isinstance(rows[0], int):
        rows = [rows]
    if mask is None:
        return [[int(i) for i in row] for row in rows]
    marks = _plain(mask)
    if marks and isinstance(marks[0], int):
        marks = [marks]
    return [[int(i) for i, m in zip(row, ms) if m] for row, ms in zip(rows, marks)]


class MarianModel:
    """Translates. Any number of threads may call it at once: their requests run together."""

    def __init__(self, source: Source, tokenizer: MarianTokenizer) -> None:
        self._source = source
        self._tokenizer = tokenizer

    def generate(self, input_ids: Any = None, *, attention_mask: Any = None, **options: Any) -> Any:
        """Rows of target ids for rows of source ids, with transformers' option names: the start token
        first, the end token, then padding. A tensor for a tensor, lists for lists.

        TypeError for options that are not known, NotSupported for those that are not built.
        """
        if input_ids is None:
            raise TypeError("generate() wants input_ids: generate(**tokenizer(texts, ...))")
        if options.pop("inputs", None) is not None:
            raise TypeError("generate() wants input_ids, not inputs")
        found = _generate_options(options)
        rows = _masked(input_ids, attention_mask)
        if not rows:
            return _array([], _kind_of(input_ids))
        work = Work([("task", "generate"), *found]).with_text(json.dumps(rows))
        wanted = next((int(v) + 1 for name, v in found if name == "alternatives"), 1)
        start = self._tokenizer.pad_token_id
        outputs = [
            [start, *ids] for row in self._source.run(work, _target_rows) for ids in row[:wanted]
        ]
        return _array(_padded(outputs, start), _kind_of(input_ids))

    @overload
    def translate(self, text: str, **options: Any) -> str: ...

    @overload
    def translate(self, text: Iterable[str], **options: Any) -> list[str]: ...

    def translate(self, text: str | Iterable[str], **options: Any) -> str | list[str]:
        """A text of any length, or several: sentences are found here, and what is between them stays.

        Options are the engine's: beams, html, target_lang, glossary={"term": "translation"}, ...
        (docs/translation.md).
        """
        if isinstance(text, str):
            return self._source.run(self._work(text, options), _text)
        return self._source.run_all([self._work(t, options) for t in text], _text)

    async def translate_async(self, text: str, **options: Any) -> str:
        """The same for a task; cancelling the task cancels the request."""
        return await self._source.run_async(self._work(text, options), _text)

    @staticmethod
    def _work(text: str, options: dict[str, Any]) -> Work:
        if not isinstance(text, str):
            raise TypeError(f"a text is a str, not {type(text).__name__}")
        named = [(k, _option(v)) for k, v in options.items()]
        return Work(named).with_text(text)

    def to(self, device: Any) -> MarianModel:
        """Itself: where the model computes is the manager's business."""
        return self

    def eval(self) -> MarianModel:
        """Itself: it is never trained."""
        return self
