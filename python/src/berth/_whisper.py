"""The Whisper object: transcribe() as openai-whisper has it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Any, Union

from berth import _native as n
from berth._job import Work
from berth._options import whisper_options
from berth._source import Source
from berth._toy import toy_work

Audio = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, Any]


def _string(text: bytes | None) -> str:
    return (text or b"").decode("utf-8", "replace")


def _segment(s: n.Segment) -> dict[str, Any]:
    return {
        "id": s.id,
        "seek": s.seek,
        "start": s.start_s,
        "end": s.end_s,
        "text": _string(s.text),
        "tokens": s.tokens[: s.n_tokens],
        "temperature": s.temperature,
        "avg_logprob": s.avg_logprob,
        "compression_ratio": s.compression_ratio,
        "no_speech_prob": s.no_speech_prob,
    }


def _result(item: n.Item) -> dict[str, Any]:
    if not item.transcript:  # a toy's
        return {"text": _string(item.text), "segments": [], "language": "en"}
    t = item.transcript.contents
    return {
        "text": _string(t.text),
        "segments": [_segment(t.segments[i]) for i in range(t.n_segments)],
        "language": _string(t.language),
    }


def _samples(audio: Any) -> bytes:
    """A copy of an array of f32 at 16 kHz; numpy's, torch's, or anything with a buffer."""
    if hasattr(audio, "detach") and hasattr(audio, "cpu"):
        audio = audio.detach().cpu().numpy()
    try:
        view = memoryview(audio)
    except TypeError:
        raise TypeError(
            f"audio is a path, the bytes of a sound file, or float32 samples at 16 kHz, not "
            f"{type(audio).__name__}"
        ) from None
    if view.ndim != 1 or view.format not in ("f", "<f", "=f"):
        raise TypeError(
            f"samples are one row of float32, not {view.ndim} dimensions of {view.format!r}"
        )
    return view.tobytes()


@contextlib.contextmanager
def _work(audio: Audio, options: list[tuple[str, str]]) -> Iterator[Work]:
    """A request with this sound. A path is opened here, by the caller's process."""
    work = Work(options)
    if isinstance(audio, (bytes, bytearray)):
        yield work.with_bytes(bytes(audio))
    elif isinstance(audio, (str, os.PathLike)):
        with open(audio, "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                yield work.with_fd(file.fileno())
            else:
                yield work.with_bytes(file.read())
    else:
        yield work.with_samples(_samples(audio))


class WhisperModel:
    """Speech to text. Any number of threads may call it at once: their requests run together."""

    def __init__(self, source: Source, engine: str = "whisper") -> None:
        self._source = source
        self._toy = engine == "toy"

    def _request(
        self, audio: Audio, options: dict[str, object]
    ) -> contextlib.AbstractContextManager[Work]:
        known = whisper_options(options)
        return toy_work(audio) if self._toy else _work(audio, known)

    def transcribe(self, audio: Audio, **options: Any) -> dict[str, Any]:
        """The text of a sound, with openai-whisper's option names and result:
        {"text", "segments", "language"}.

        audio: a path, the bytes of a sound file, or float32 samples at 16 kHz (numpy). Other threads run
        meanwhile; Ctrl-C cancels. LeaseReleased outside its `with`, AudioError, TypeError for an
        unknown option, NotSupported (a NotImplementedError) for one that is not built yet, ValueError
        for a value out of range.
        """
        with self._request(audio, options) as work:
            return self._source.run(work, _result)

    async def transcribe_async(self, audio: Audio, **options: Any) -> dict[str, Any]:
        """The same for a task; cancelling the task cancels the request."""
        with self._request(audio, options) as work:
            return await self._source.run_async(work, _result)
