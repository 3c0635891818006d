"""Sounds, options and results of transcribe()."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import pytest
from conftest import REAL, SPEECH

import berth
from berth._options import whisper_options


@pytest.fixture
def model(manager):
    with manager.get_whisper_model_safe() as m:
        yield m


def test_options_everyone_passes(model):
    assert model.transcribe(b"a", fp16=False, verbose=None, language="en")["text"] == "a"
    assert model.transcribe(b"a", word_timestamps=False, beam_size=None)["text"] == "a"


def test_unknown_option(model):
    with pytest.raises(TypeError, match="langage"):
        model.transcribe(b"a", langage="en")


@pytest.mark.parametrize("option", ["beam_size", "patience", "word_timestamps", "prompt"])
def test_options_not_built_yet(model, option):
    with pytest.raises(NotImplementedError, match=option) as e:
        model.transcribe(b"a", **{option: 5})
    assert isinstance(e.value, berth.BerthError)


def test_options_as_text():
    assert whisper_options(
        {
            "temperature": (0.0, 0.5),
            "logprob_threshold": None,
            "language": None,
            "initial_prompt": "None",
            "suppress_tokens": [1, 2],
            "suppress_blank": False,
            "sample_len": None,
        }
    ) == [
        ("temperature", "0.0,0.5"),
        ("logprob_threshold", "None"),
        ("initial_prompt", "None"),
        ("suppress_tokens", "1,2"),
        ("suppress_blank", "False"),
    ]
    with pytest.raises(TypeError):
        whisper_options({"temperature": object()})


def test_no_such_file(model):
    with pytest.raises(FileNotFoundError):
        model.transcribe("/no/such/file.wav")


real = pytest.mark.skipif(
    not REAL or not SPEECH.exists(), reason="BERTH_SAMPLE or pocketsphinx-testdata is not there"
)
FILE = SPEECH / "librivox/sense_and_sensibility_01_austen_64kb-0880.wav"


@pytest.fixture
def whisper(manager):
    with manager.get_whisper_model_safe("real") as m:
        yield m


@real
def test_result(whisper):
    result = whisper.transcribe(FILE, language="en", temperature=0)
    assert list(result) == ["text", "segments", "language"]
    assert "disposed young man" in result["text"] and result["language"] == "en"
    segment = result["segments"][0]
    assert list(segment) == [
        "id",
        "seek",
        "start",
        "end",
        "text",
        "tokens",
        "temperature",
        "avg_logprob",
        "compression_ratio",
        "no_speech_prob",
    ]
    assert result["text"] == "".join(s["text"] for s in result["segments"])
    assert all(isinstance(t, int) for t in segment["tokens"]) and segment["end"] > segment["start"]


@real
def test_every_kind_of_sound_is_the_same(whisper, tmp_path):
    expected = whisper.transcribe(str(FILE), temperature=0)
    assert whisper.transcribe(FILE.read_bytes(), temperature=0) == expected
    assert whisper.transcribe(bytearray(FILE.read_bytes()), temperature=0) == expected
    numpy = pytest.importorskip("numpy")
    with wave.open(str(FILE)) as w:
        assert w.getframerate() == 16000
        samples = numpy.frombuffer(w.readframes(w.getnframes()), "<i2")
    floats = samples.astype(numpy.float32) / 32768
    assert whisper.transcribe(floats, temperature=0) == expected
    assert whisper.transcribe(numpy.repeat(floats, 2)[::2], temperature=0) == expected
    for wrong in (samples, floats.astype(numpy.float64), floats.reshape(1, -1), 5, io.BytesIO()):
        with pytest.raises(TypeError):
            whisper.transcribe(wrong)


@real
def test_errors(whisper, tmp_path: Path):
    with pytest.raises(berth.AudioError):
        whisper.transcribe(b"this is no sound at all")
    with pytest.raises(ValueError, match="langua"):
        whisper.transcribe(FILE, language="klingonese")
    with pytest.raises(ValueError):
        whisper.transcribe(FILE, task="sing")
    with pytest.raises(OSError):
        whisper.transcribe(tmp_path)


@real
def test_as_openai_says(whisper, pool):
    """Many at once give what one alone gives."""
    alone = whisper.transcribe(FILE, fp16=False)
    assert all(r == alone for r in pool.map(lambda _: whisper.transcribe(FILE), range(4)))
