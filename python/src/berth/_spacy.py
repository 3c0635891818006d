"""A pipeline as spaCy's Language: nlp(text), nlp.pipe(texts)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from types import TracebackType
from typing import Any

from berth import _native as n
from berth._doc import Doc
from berth._job import Kept, Work, keep
from berth._source import Source

_AT_ONCE = 64  # texts of one pipe() under way
Options = list[tuple[str, str]]


def _names(names: str | Iterable[str]) -> str:
    return names if isinstance(names, str) else ",".join(names)


class Language:
    """A pipeline. Any number of threads may call it at once: their texts run together."""

    max_length = 1_000_000  # characters of a text

    def __init__(self, source: Source) -> None:
        self._source = source
        self._chosen: Options = []

    def _options(self, disable: str | Iterable[str]) -> Options:
        names = _names(disable)
        return [*self._chosen, ("disable", names)] if names else self._chosen

    def _work(self, text: str, options: Options) -> Work:
        if not isinstance(text, str):
            raise TypeError(f"a text is a str, not {type(text).__name__}")
        return Work(options).with_text(text)

    def _doc(self, kept: Kept, options: Options) -> Doc:
        def again() -> Kept:
            text = doc.text
            wanted = [*options, ("tensor", "true"), ("vectors", "true")]
            return self._source.run(self._work(text, wanted), keep)

        doc = Doc(kept, again)
        return doc

    def __call__(self, text: str, *, disable: str | Iterable[str] = ()) -> Doc:
        """The document of a text. Other threads run meanwhile; Ctrl-C cancels. LeaseReleased outside
        its `with`, ValueError for a component that is not there or a text that is too long."""
        options = self._options(disable)
        return self._doc(self._source.run(self._work(text, options), keep), options)

    async def call_async(self, text: str, *, disable: str | Iterable[str] = ()) -> Doc:
        """The same for a task; cancelling the task cancels the request."""
        options = self._options(disable)
        return self._doc(await self._source.run_async(self._work(text, options), keep), options)

    def pipe(
        self,
        texts: Iterable[Any],
        *,
        as_tuples: bool = False,
        batch_size: int | None = None,
        disable: str | Iterable[str] = (),
        n_process: int = 1,
    ) -> Iterator[Any]:
        """Documents in the order of the texts, many at work at once; with as_tuples, texts are
        (text, context) and so are results. batch_size: the most at once. n_process says nothing here:
        libberth has threads of its own."""
        del n_process
        options = self._options(disable)
        at_once = batch_size or _AT_ONCE
        pairs = iter(texts) if as_tuples else ((text, None) for text in texts)
        given, kept = itertools.tee(pairs)
        works = (self._work(text, options) for text, _ in given)
        for item, (_, context) in zip(self._source.run_many(works, keep, at_once), kept):
            doc = self._doc(item, options)
            yield (doc, context) if as_tuples else doc

    @cached_property
    def _all_names(self) -> list[str]:
        return self._source.run(Work([]).with_text("a"), _components)

    @property
    def pipe_names(self) -> list[str]:
        """The components that run, in their order."""
        if not self._chosen:
            return list(self._all_names)
        return self._source.run(Work(self._chosen).with_text("a"), _components)

    def has_pipe(self, name: str) -> bool:
        return name in self.pipe_names

    @cached_property
    def lang(self) -> str:
        """ "en"."""
        return self._source.run(Work([]).with_text(""), _language)

    def select_pipes(
        self,
        *,
        disable: str | Sequence[str] | None = None,
        enable: str | Sequence[str] | None = None,
    ) -> Selection:
        """From now on, without some components or with only some; as a `with`, until its end. It is
        this object's choice: other objects of the same model keep theirs."""
        if (disable is None) == (enable is None):
            raise ValueError("select_pipes wants either disable or enable")
        before = self._chosen
        if enable is not None:
            self._chosen = [("components", _names(enable))]
        else:
            self._chosen = [("disable", _names(disable or ()))]
        return Selection(self, before)

    def disable_pipes(self, *names: str) -> Selection:
        """select_pipes(disable=names)."""
        return self.select_pipes(disable=names)


class Selection:
    """What select_pipes() has changed, to be undone."""

    def __init__(self, nlp: Language, before: Options) -> None:
        self._nlp = nlp
        self._before = before

    def restore(self) -> None:
        self._nlp._chosen = self._before

    def __enter__(self) -> Selection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()


def _components(item: n.Item) -> list[str]:
    names: bytes = item.doc.contents.components
    return [name for name in names.decode().split(",") if name]


def _language(item: n.Item) -> str:
    language: bytes = item.doc.contents.language
    return language.decode()
