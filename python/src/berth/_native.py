"""libberth through ctypes: declarations as in include/berth/*.h, and nothing that decides.

ctypes lets go of the interpreter lock for the time of every call. Whoever adds a field here adds it to
tests/test_native.py, which compares sizes and offsets with what a C compiler says.
"""

from __future__ import annotations

import ctypes as c
import os
from pathlib import Path

from berth import errors


class Error(c.Structure):
    _fields_ = [("code", c.c_int), ("message", c.c_char * 252)]


class Input(c.Structure):
    _fields_ = [
        ("kind", c.c_int),
        ("path", c.c_char_p),
        ("data", c.c_void_p),
        ("size", c.c_size_t),
        ("sample_rate_hz", c.c_uint32),
        ("channels", c.c_uint32),
        ("fd", c.c_int),
    ]


INPUT_BYTES, INPUT_PCM_F32, INPUT_TEXT, INPUT_FD = 2, 3, 5, 6


class Option(c.Structure):
    _fields_ = [("name", c.c_char_p), ("value", c.c_char_p)]


class Request(c.Structure):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("input", Input),
        ("options", c.POINTER(Option)),
        ("n_options", c.c_size_t),
        ("caller", c.c_char_p),
        ("priority", c.c_int),
        ("deadline_ms", c.c_int64),
        ("stream", c.c_bool),
    ]


class Segment(c.Structure):
    _fields_ = [
        ("id", c.c_uint32),
        ("seek", c.c_int64),
        ("start_s", c.c_double),
        ("end_s", c.c_double),
        ("text", c.c_char_p),
        ("tokens", c.POINTER(c.c_int32)),
        ("n_tokens", c.c_size_t),
        ("temperature", c.c_double),
        ("avg_logprob", c.c_double),
        ("compression_ratio", c.c_double),
        ("no_speech_prob", c.c_double),
    ]


class Transcript(c.Structure):
    _fields_ = [
        ("language", c.c_char_p),
        ("text", c.c_char_p),
        ("duration_s", c.c_double),
        ("segments", c.POINTER(Segment)),
        ("n_segments", c.c_size_t),
        ("languages", c.c_void_p),
        ("n_languages", c.c_size_t),
        ("trace", c.c_void_p),
        ("n_trace", c.c_size_t),
        ("language_name", c.c_char_p),
    ]


class Hypothesis(c.Structure):
    _fields_ = [
        ("text", c.c_char_p),
        ("score", c.c_double),
        ("tokens", c.POINTER(c.c_int32)),
        ("logprobs", c.POINTER(c.c_float)),
        ("n_tokens", c.c_size_t),
    ]


class Sentence(c.Structure):
    _fields_ = [
        ("source_begin", c.c_size_t),
        ("source_end", c.c_size_t),
        ("target_begin", c.c_size_t),
        ("target_end", c.c_size_t),
        ("tokens", c.POINTER(c.c_int32)),
        ("n_tokens", c.c_size_t),
        ("hypotheses", c.POINTER(Hypothesis)),
        ("n_hypotheses", c.c_size_t),
        ("alignment", c.POINTER(c.c_float)),
        ("cached", c.c_bool),
        ("repeats", c.c_bool),
    ]


class Translation(c.Structure):
    _fields_ = [
        ("source", c.c_char_p),
        ("target", c.c_char_p),
        ("text", c.c_char_p),
        ("alternatives", c.POINTER(c.c_char_p)),
        ("n_alternatives", c.c_size_t),
        ("sentences", c.POINTER(Sentence)),
        ("n_sentences", c.c_size_t),
    ]


class Token(c.Structure):
    _fields_ = [
        ("text", c.c_char_p),
        ("begin", c.c_uint32),
        ("end", c.c_uint32),
        ("idx", c.c_uint32),
        ("idx_end", c.c_uint32),
        ("space", c.c_bool),
        ("flags", c.c_uint32),
        ("norm", c.c_char_p),
        ("lower", c.c_char_p),
        ("shape", c.c_char_p),
        ("prefix", c.c_char_p),
        ("suffix", c.c_char_p),
        ("tag", c.c_char_p),
        ("pos", c.c_char_p),
        ("morph", c.c_char_p),
        ("lemma", c.c_char_p),
        ("dep", c.c_char_p),
        ("head", c.c_int32),
        ("sent_start", c.c_int8),
        ("ent_iob", c.c_uint8),
        ("ent_type", c.c_char_p),
        ("ent_id", c.c_char_p),
        ("ent_kb_id", c.c_char_p),
    ]


class Span(c.Structure):
    _fields_ = [
        ("begin", c.c_uint32),
        ("end", c.c_uint32),
        ("label", c.c_char_p),
        ("id", c.c_char_p),
        ("kb_id", c.c_char_p),
    ]


class Doc(c.Structure):
    _fields_ = [
        ("text", c.c_char_p),
        ("language", c.c_char_p),
        ("tokens", c.POINTER(Token)),
        ("n_tokens", c.c_size_t),
        ("ents", c.POINTER(Span)),
        ("sents", c.POINTER(Span)),
        ("noun_chunks", c.POINTER(Span)),
        ("n_ents", c.c_size_t),
        ("n_sents", c.c_size_t),
        ("n_noun_chunks", c.c_size_t),
        ("components", c.c_char_p),
        ("tensor", c.POINTER(c.c_float)),
        ("tensor_width", c.c_size_t),
        ("vectors", c.POINTER(c.c_float)),
        ("vector_width", c.c_size_t),
    ]


class Item(c.Structure):
    _fields_ = [
        ("kind", c.c_int),
        ("done", c.c_double),
        ("total", c.c_double),
        ("transcript", c.POINTER(Transcript)),
        ("text", c.c_char_p),
        ("translation", c.POINTER(Translation)),
        ("doc", c.POINTER(Doc)),
    ]
    job: object = None  # that frees it


class Config(c.Structure):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("file", c.c_char_p),
        ("models", c.c_void_p),
        ("n_models", c.c_size_t),
        ("cpu_memory_bytes", c.c_uint64),
        ("threads", c.c_int),
        ("device", c.c_char_p),
        ("precision", c.c_char_p),
        ("gpu_memory_bytes", c.c_uint64),
        ("server", c.c_char_p),
    ]


class AcquireOptions(c.Structure):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("wait_ms", c.c_int64),
        ("tag", c.c_char_p),
        ("mode", c.c_int),
        ("max_concurrent", c.c_uint32),
        ("owner", c.c_uint64),
        ("priority", c.c_int),
    ]


class ModelStats(c.Structure):
    _fields_ = [
        ("name", c.c_char * 64),
        ("alias", c.c_char * 64),
        ("family", c.c_char * 16),
        ("path", c.c_char * 256),
        ("device", c.c_char * 32),
        ("state", c.c_int),
        ("leases", c.c_uint64),
        ("waiting", c.c_uint64),
        ("running", c.c_uint64),
        ("served", c.c_uint64),
        ("failed", c.c_uint64),
        ("loads", c.c_uint64),
        ("weights_bytes", c.c_uint64),
        ("workspace_bytes", c.c_uint64),
        ("session_bytes", c.c_uint64),
        ("load_ms", c.c_int64),
        ("idle_ms", c.c_int64),
        ("engine", c.c_char * 16),
        ("instances", c.c_uint64),
        ("devices", c.c_char * 256),
    ]


class FamilyUsage(c.Structure):
    _fields_ = [("family", c.c_char * 16), ("leases", c.c_uint64), ("ready", c.c_bool)]


class Usage(c.Structure):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("device", c.c_char * 32),
        ("families", FamilyUsage * 8),
        ("n_families", c.c_uint32),
    ]


class CleanupReport(c.Structure):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("models_unloaded", c.c_uint64),
        ("leases_waited_for", c.c_uint64),
        ("leases_revoked", c.c_uint64),
        ("bytes_before", c.c_uint64),
        ("bytes_after", c.c_uint64),
        ("forced", c.c_bool),
    ]


_OUT = c.POINTER(c.c_void_p)
_ERR = c.POINTER(Error)
_BYTES = c.POINTER(c.c_uint64)

# name: result, arguments
_FUNCTIONS: dict[str, tuple[object, list[object]]] = {
    "berth_version": (c.c_char_p, []),
    "berth_error_name": (c.c_char_p, [c.c_int]),
    "berth_open": (c.c_int, [c.POINTER(Config), _OUT, _ERR]),
    "berth_owner_new": (c.c_uint64, [c.c_void_p]),
    "berth_acquire_start": (
        c.c_int,
        [c.c_void_p, c.c_char_p, c.POINTER(AcquireOptions), _OUT, _ERR],
    ),
    "berth_ticket_wait": (c.c_int, [c.c_void_p, c.c_int64, _OUT, _ERR]),
    "berth_ticket_free": (None, [c.c_void_p]),
    "berth_release": (None, [c.c_void_p]),
    "berth_lease_model": (c.c_char_p, [c.c_void_p]),
    "berth_lease_revoked": (c.c_bool, [c.c_void_p]),
    "berth_wait_available": (
        c.c_int,
        [c.c_void_p, c.c_char_p, c.c_uint64, c.c_uint32, c.c_int64, _ERR],
    ),
    "berth_usage": (c.c_int, [c.c_void_p, c.POINTER(Usage)]),
    "berth_cleanup": (
        c.c_int,
        [c.c_void_p, c.c_uint64, c.c_int64, c.POINTER(CleanupReport), _ERR],
    ),
    "berth_unload": (c.c_int, [c.c_void_p, c.c_char_p, c.c_int64, _ERR]),
    "berth_disable": (c.c_int, [c.c_void_p, c.c_char_p, _ERR]),
    "berth_enable": (c.c_int, [c.c_void_p, c.c_char_p, _ERR]),
    "berth_trim": (c.c_int, [c.c_void_p, _BYTES, _BYTES, _ERR]),
    "berth_models": (
        c.c_size_t,
        [c.c_void_p, c.POINTER(ModelStats), c.c_size_t, c.c_size_t],
    ),
    "berth_submit": (c.c_int, [c.c_void_p, c.POINTER(Request), _OUT, _ERR]),
    "berth_job_state": (c.c_int, [c.c_void_p]),
    "berth_job_wait": (
        c.c_int,
        [c.c_void_p, c.c_int64, c.POINTER(c.POINTER(Item)), _ERR],
    ),
    "berth_job_cancel": (None, [c.c_void_p]),
    "berth_job_free": (None, [c.c_void_p]),
    "berth_item_free": (None, [c.POINTER(Item)]),
}
JOB_FAILED = 3


def _load() -> c.CDLL:
    named = os.environ.get("BERTH_LIBRARY")
    path = named or str(Path(__file__).with_name("libberth.so"))
    library = c.CDLL(path)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


lib = _load()


def error_name(code: int) -> str:
    """The stable name of a code: "EBUDGET"."""
    name: bytes = lib.berth_error_name(code)
    return name.decode()


_names: dict[int, str] = {}


def is_code(rc: int, name: str) -> bool:
    """Whether a result is the error of this name."""
    if rc >= 0:
        return False
    if rc not in _names:
        _names[rc] = error_name(rc)
    return _names[rc] == name


def exception(rc: int, err: Error) -> errors.BerthError:
    """The exception for a failed call."""
    return errors.from_code(error_name(rc), err.message.decode("utf-8", "replace"))


def check(rc: int, err: Error) -> None:
    """Raises what a failed call says."""
    if rc < 0:
        raise exception(rc, err)


def milliseconds(seconds: float) -> int:
    """A duration for C, rounded up so that waiting never ends a little early."""
    return -int(-seconds * 1000 // 1)


def version() -> str:
    """Of libberth, and of this package."""
    text: bytes = lib.berth_version()
    return text.decode()
