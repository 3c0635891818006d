"""Berth shares speech, translation and language models between all callers of a process.

    from berth import get_model_manager

    with get_model_manager().get_whisper_model_safe() as model:
        print(model.transcribe("talk.wav")["text"])

docs/python.md of the source tree is the guide.
"""

from berth._access import Access
from berth._manager import ModelManager, TrimReport, get_model_manager
from berth._marian import MarianModel, MarianTokenizer
from berth._native import version
from berth._shared import CleanupReport
from berth._whisper import WhisperModel
from berth.errors import (
    AudioError,
    BerthError,
    DeadlockError,
    ForkError,
    InvalidOption,
    LeaseReleased,
    LeaseRevoked,
    LeaseTimeout,
    ModelDisabled,
    NotSupported,
    OutOfMemory,
    UnknownModel,
    UpgradeError,
)

__version__ = version()

__all__ = [
    "Access",
    "AudioError",
    "BerthError",
    "CleanupReport",
    "DeadlockError",
    "ForkError",
    "InvalidOption",
    "LeaseReleased",
    "LeaseRevoked",
    "LeaseTimeout",
    "MarianModel",
    "MarianTokenizer",
    "ModelDisabled",
    "ModelManager",
    "NotSupported",
    "OutOfMemory",
    "TrimReport",
    "UnknownModel",
    "UpgradeError",
    "WhisperModel",
    "get_model_manager",
]
