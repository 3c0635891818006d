"""openai-whisper's names for the options of transcribe(), as libberth takes them."""

from __future__ import annotations

from collections.abc import Iterable

from berth.errors import NotSupported

# Names with the values that mean "leave it out"; libberth has the same defaults.
_TEXT = {"language": None, "task": None, "initial_prompt": None, "prefix": None}
_VALUES = (
    "temperature",
    "compression_ratio_threshold",
    "logprob_threshold",
    "no_speech_threshold",
    "condition_on_previous_text",
    "carry_initial_prompt",
    "clip_timestamps",
    "sample_len",
    "best_of",
    "length_penalty",
    "suppress_tokens",
    "suppress_blank",
    "without_timestamps",
    "max_initial_timestamp",
    "seed",  # Berth's own: of sampling
    "max_seconds",  # Berth's own: the longest sound taken
)
# those whose None says "off", not "as usual"
_NONE_IS_OFF = {
    "compression_ratio_threshold",
    "logprob_threshold",
    "no_speech_threshold",
    "max_initial_timestamp",
    "suppress_tokens",
}
# accepted, and without effect: this is about the original's way of computing and printing, or about words
_IGNORED = {"fp16", "verbose", "prepend_punctuations", "append_punctuations"}
# known, and not built: only the value that switches it off is taken
_NOT_BUILT: dict[str, object] = {
    "beam_size": None,
    "patience": None,
    "word_timestamps": False,
    "hallucination_silence_threshold": None,
    "prompt": None,
}


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)) or value is None:
        return str(value)
    if isinstance(value, Iterable):
        return ",".join(_text(name, v) for v in value)
    raise TypeError(f"{name}: a {type(value).__name__} is not understood")


def whisper_options(options: dict[str, object]) -> list[tuple[str, str]]:
    """Checked and as text. TypeError for unknown names, NotSupported for what is not built yet."""
    found: list[tuple[str, str]] = []
    for name, value in options.items():
        if name in _IGNORED:
            continue
        if name in _NOT_BUILT:
            if value is not None and value is not False:
                raise NotSupported(f"{name} is not built yet")
        elif name in _TEXT:
            if value is not None:
                found.append((name, _text(name, value)))
        elif name in _VALUES:
            if value is not None or name in _NONE_IS_OFF:
                found.append((name, _text(name, value)))
        else:
            raise TypeError(f"transcribe() got an unexpected keyword argument {name!r}")
    return found
