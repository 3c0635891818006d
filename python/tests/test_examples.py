"""The programs in examples/ do what they say."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import REAL, SPEECH

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run_script(python: list[str], *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *python, str(EXAMPLES / "test_concurrent_models.py"), *arguments],
        env=dict(os.environ, **environment),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_concurrent_models():
    assert run_script(["-X", "dev", "-W", "error"]).endswith("all passed\n")


@pytest.mark.skipif(
    not REAL or not SPEECH.exists() or "BERTH_LONG" not in os.environ,
    reason="takes a minute: with BERTH_SAMPLE, pocketsphinx-testdata and BERTH_LONG only",
)
def test_concurrent_models_for_real(tmp_path):
    empty = tmp_path / "berth.yaml"
    empty.touch()
    out = run_script(
        [], str(SPEECH / "cards/003.wav"), BERTH_CONFIG=str(empty), BERTH_WHISPER_MODEL=REAL
    )
    assert out.endswith("all passed\n")


def call(url: str, sound: bytes | None = None) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a GET, or of a POST of a form with one file."""
    request = urllib.request.Request(url)
    if sound is not None:
        head = b'--X\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        request.data = head + sound + b"\r\n--X--\r\n"
        request.add_header("Content-Type", "multipart/form-data; boundary=X")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        with e:
            return e.code, json.load(e)


@pytest.fixture
def service() -> Iterator[str]:
    for module in ("fastapi", "uvicorn", "python_multipart"):
        pytest.importorskip(module)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "fastapi_app:app"]
    with subprocess.Popen([*command, "--port", str(port), "--log-level", "warning"]) as server:
        try:
            for _ in range(300):
                with contextlib.suppress(OSError):
                    if call(f"{url}/api/model-stats")[0] == 200:
                        break
                assert server.poll() is None
                time.sleep(0.1)
            yield url
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def test_fastapi_app(service: str):
    url = f"{service}/transcribe"
    assert call(url, b"toy:sleep=0.1") == (
        200,
        {"text": "toy:sleep=0.1", "segments": [], "language": "en"},
    )
    with ThreadPoolExecutor(9) as pool:
        before = time.monotonic()
        uploads = [pool.submit(call, url, b"toy:sleep=1") for _ in range(8)]
        seen = 0
        while seen < 8 and time.monotonic() < before + 10:
            stats = call(f"{service}/api/model-stats")[1]
            assert stats["success"] is True and list(stats["stats"]) == [
                "current_usage",
                "device",
                "models_loaded",
            ]
            seen = max(seen, stats["stats"]["current_usage"]["whisper"])
        assert [u.result()[0] for u in uploads] == [200] * 8
        assert seen == 8 and time.monotonic() - before < 6
    assert call(f"{service}/api/cleanup", b"")[1]["success"]
    assert not any(call(f"{service}/api/model-stats")[1]["stats"]["models_loaded"].values())
    assert call(f"{service}/transcribe?language=", b"again")[0] == 200
