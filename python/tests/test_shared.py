"""Several processes, one daemon: BERTH_SERVER=spawn."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import FOLDER, eventually

from berth import _spawn


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Of programs that share a daemon of this test's own."""
    config = tmp_path / "berth.yaml"
    config.write_text((FOLDER / "berth.yaml").read_text().replace("path: ", f"path: {FOLDER}/"))
    yield dict(
        os.environ,
        BERTH_SERVER="spawn",
        BERTH_CONFIG=str(config),
        XDG_RUNTIME_DIR=str(tmp_path),
    )
    for pid in daemons(tmp_path):
        os.kill(pid, signal.SIGKILL)


def daemons(folder: Path) -> list[int]:
    """The processes that serve below this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            dead = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except (OSError, IndexError):
            continue
        if not dead and f"unix:{folder}".encode() in b" ".join(words) and b"--listen" in words:
            found.append(int(entry.name))
    return found


def program(text: str, environment: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(text)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(p: subprocess.Popen) -> str:
    return p.stdout.readline().strip()


HOLD = """
    import berth
    manager = berth.get_model_manager()
    with manager.get_whisper_model_safe() as model:
        print(model.transcribe(b"hello")["text"], flush=True)
        input()
"""


def test_one_daemon(environment: dict[str, str], tmp_path: Path):
    """Started once, however many begin at the same time; each sees what all of them hold."""
    programs = [program(HOLD, environment) for _ in range(4)]
    assert [said(p) for p in programs] == ["hello"] * 4
    assert len(daemons(tmp_path)) == 1
    with program(
        """
        import berth
        manager = berth.get_model_manager()
        print(manager.get_model_usage_stats()["current_usage"]["whisper"], flush=True)
        input()
        print(manager.get_model_usage_stats()["current_usage"]["whisper"], flush=True)
        with manager.exclusive_model_access("whisper", timeout=0.2):
            print("exclusive", flush=True)
        """,
        environment,
    ) as watcher:
        assert said(watcher) == "4"
        programs[0].kill()  # nobody else is harmed, and its lease comes back
        for p in programs[1:]:
            p.communicate("\n", timeout=20)
            assert p.returncode == 0
        programs[0].communicate()
        time.sleep(1)
        watcher.stdin.write("\n")
        watcher.stdin.flush()
        assert [said(watcher), said(watcher)] == ["0", "exclusive"]


def test_another_daemon_after_one_has_died(environment: dict[str, str], tmp_path: Path):
    with program(
        """
        import berth
        manager = berth.get_model_manager()
        with manager.get_whisper_model_safe() as model:
            model.transcribe(b"x")
            print("held", flush=True)
            input()
            try:
                model.transcribe(b"x")
            except berth.LeaseReleased as e:
                print(e.code, flush=True)
        with manager.get_whisper_model_safe() as model:
            print(model.transcribe(b"again")["text"], flush=True)
        """,
        environment,
    ) as p:
        assert said(p) == "held"
        (pid,) = daemons(tmp_path)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not daemons(tmp_path))
        time.sleep(0.2)
        p.stdin.write("\n")
        p.stdin.flush()
        assert [said(p), said(p)] == ["ELOST", "again"]


def test_clean_up_is_about_ones_own(environment: dict[str, str]):
    """What another process uses stays; the daemon's user may take it away."""
    with program(HOLD, environment) as other:
        assert said(other) == "hello"
        with program(
            """
            import berth
            manager = berth.get_model_manager()
            manager.get_spacy_model()
            with manager.get_whisper_model_safe():
                report = manager.cleanup_all_models(timeout=5)
            print(report.leases_revoked, report.forced, report.models_unloaded)
            print(*manager.get_model_usage_stats()["models_loaded"].values())
            print(manager.cleanup_all_models(timeout=0, scope="daemon").forced)
            print(*manager.get_model_usage_stats()["models_loaded"].values())
            """,
            environment,
        ) as p:
            out = p.communicate(timeout=30)[0].splitlines()
        assert out == ["1 False 1", "True False False", "True", "False False False"]
        other.communicate("\n", timeout=20)


def test_ends_when_idle(environment: dict[str, str], tmp_path: Path):
    with program(HOLD, environment) as p:
        assert said(p) == "hello"
        p.communicate("\n", timeout=20)
    assert len(daemons(tmp_path)) == 1  # for whoever comes next
    eventually(lambda: not daemons(tmp_path), within=_spawn._IDLE_S + 10)


def test_whoever_comes_as_it_ends_gets_one(environment: dict[str, str], tmp_path: Path):
    """At whatever moment of its end: the one that goes is not met, the one that is met does not go."""
    with program(
        """
        import os, time
        from berth import _core, _native, _spawn
        _spawn._IDLE_S = 1
        with _spawn.daemon() as address:
            time.sleep(2)  # longer than it idles
            _native.lib.berth_close(_core._open(address), 0, None)
        for i in range(12):
            time.sleep(0.95 + 0.03 * i)
            with _spawn.daemon() as address:
                _native.lib.berth_close(_core._open(address), 0, None)
        print("good")
        """,
        environment,
    ) as p:
        assert p.communicate(timeout=60)[0] == "good\n"


def test_what_cannot_start_says_so(environment: dict[str, str], tmp_path: Path):
    (tmp_path / "berth.yaml").write_text("models: 7\n")
    with program(
        """
        import berth
        try:
            berth.get_model_manager().get_whisper_model()
        except berth.BerthError as e:
            print(e)
        """,
        environment,
    ) as p:
        assert "berthd did not start" in p.communicate(timeout=30)[0]


def call(port: int, path: str, body: bytes | None = None) -> Any:
    """One request of HTTP on a connection of its own: None when it breaks off."""
    with socket.create_connection(("127.0.0.1", port), 30) as s:
        head = f"{'POST' if body is not None else 'GET'} {path} HTTP/1.1\r\nHost: a\r\n"
        form = b""
        if body is not None:
            form = b'--X\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            form += body + b"\r\n--X--\r\n"
            head += (
                f"Content-Type: multipart/form-data; boundary=X\r\nContent-Length: {len(form)}\r\n"
            )
        s.sendall(head.encode() + b"Connection: close\r\n\r\n" + form)
        answer = b""
        while piece := s.recv(65536):
            answer += piece
    return json.loads(answer.split(b"\r\n\r\n", 1)[1]) if b"\r\n\r\n" in answer else None


def test_four_workers(environment: dict[str, str], tmp_path: Path):
    """The example under uvicorn --workers 4: one daemon for all, and a worker that is killed in mid
    request harms nobody."""
    for module in ("fastapi", "uvicorn", "python_multipart"):
        pytest.importorskip(module)
    from concurrent.futures import ThreadPoolExecutor

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    examples = Path(__file__).resolve().parents[2] / "examples"
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(examples), "fastapi_app:app"]
    command += ["--workers", "4", "--port", str(port), "--log-level", "error"]
    with subprocess.Popen(command, env=environment) as server, ThreadPoolExecutor(16) as pool:
        try:
            answering(port)
            work = [pool.submit(call, port, "/transcribe", b"toy:sleep=1") for _ in range(16)]
            stats = [call(port, "/api/model-stats")["stats"] for _ in range(20)]
            assert max(s["current_usage"]["whisper"] for s in stats) > 4
            assert all(w.result(30)["text"] == "toy:sleep=1" for w in work)
            assert len(daemons(tmp_path)) == 1
            work = [pool.submit(call, port, "/transcribe", b"toy:sleep=2") for _ in range(16)]
            time.sleep(1)
            os.kill(busy_worker(server.pid), signal.SIGKILL)
            answers = [w.exception(30) or w.result() for w in work]
            good = [a for a in answers if isinstance(a, dict) and a.get("text") == "toy:sleep=2"]
            assert 1 <= len(good) < 16
            eventually(
                lambda: call(port, "/api/model-stats")["stats"]["current_usage"]["whisper"] == 0
            )
            assert len(daemons(tmp_path)) == 1
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def answering(port: int) -> None:
    for _ in range(300):
        try:
            if call(port, "/api/model-stats"):
                return
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail("the service does not answer")


def busy_worker(parent: int) -> int:
    """One of the server's processes that is connected to the daemon."""
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and b"spawn_main" in command:
            return int(entry.name)
    raise AssertionError("no worker")
