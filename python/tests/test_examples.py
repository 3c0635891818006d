"""The programs in examples/ do what they say."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REAL, SPEECH

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run_script(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / "test_concurrent_models.py")]
        + list(arguments),
        env=dict(os.environ, **environment),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_concurrent_models():
    assert run_script().endswith("all passed\n")


@pytest.mark.skipif(not REAL or not SPEECH.exists(), reason="BERTH_SAMPLE or speech is not there")
def test_concurrent_models_for_real(tmp_path):
    out = run_script(
        str(SPEECH / "cards/001.wav"), BERTH_CONFIG="/dev/null", BERTH_WHISPER_MODEL=REAL
    )
    assert out.endswith("all passed\n")


def test_fastapi_app(manager):
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    pytest.importorskip("python_multipart")
    from fastapi.testclient import TestClient

    spec = importlib.util.spec_from_file_location("fastapi_app", EXAMPLES / "fastapi_app.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with TestClient(module.app) as client:
        answer = client.post("/transcribe", files={"file": ("a.wav", b"toy:sleep=0.1")})
        assert answer.json()["text"] == "toy:sleep=0.1"
        stats = client.get("/api/model-stats").json()
        assert stats["success"] and stats["stats"]["models_loaded"]["whisper"]
        with manager.exclusive_model_access("whisper"):
            module.MOST_WAIT_S = 0.1
            answer = client.post("/transcribe", files={"file": ("a.wav", b"x")})
        assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
        assert client.post("/api/cleanup").json()["success"]
        assert not manager.get_model_usage_stats()["models_loaded"]["whisper"]
