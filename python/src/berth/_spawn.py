"""A daemon of one's own: started by the first process that needs it, shared by all that are configured
alike, gone when the last of them has gone."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from berth.errors import BerthError

_NAP_S = 0.02
_START_S = 120.0  # a GPU takes its time
_ANSWER_S = 10.0
# outlives the gap between two workers of a server that reloads
_IDLE_S = 10


def _program() -> str:
    """The command that is installed beside libberth."""
    return os.environ.get("BERTH_PROGRAM") or str(Path(__file__).with_name("berthd"))


def _folder() -> Path:
    """Where the socket lies: nobody else may put one there."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime):
        folder = Path(runtime) / "berth"
    else:
        folder = Path(tempfile.gettempdir()) / f"berth-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    there = os.lstat(folder)
    if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.getuid() or there.st_mode & 0o022:
        raise BerthError(f"{folder} is not a folder of this user's alone", "EIO")
    return folder


def _key() -> str:
    """Who is configured alike shares a daemon."""
    named = os.environ.get("BERTH_CONFIG", "")
    parts = [os.path.realpath(named) if named else "", os.path.realpath(_program())]
    parts += [os.environ.get(f"BERTH_{name}", "") for name in ("DEVICE", "PRECISION")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _meet(path: Path) -> socket.socket | None:
    """A connection to the daemon, which stays while it is open; None: there is none. Waits for one
    that is about to go."""
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.settimeout(_ANSWER_S)
            s.connect(str(path))
            s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            said = b""
            while b"}" not in said:
                said += s.recv(4096) or b"}"
        except TimeoutError:
            return s  # busy, but there
        except OSError:
            s.close()
            return None
        if said.startswith(b"HTTP/1.1 ") and b'"draining"' not in said:
            return s
        s.close()
        time.sleep(_NAP_S)  # until its socket has gone


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One starter at a time. Waits in slices, so that Ctrl-C is heard."""
    with open(path, "w") as f:
        while True:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_NAP_S)
        yield


def _start(path: Path, log: Path) -> socket.socket:
    """Returns when it answers, connected to it."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    program = _program()
    command = [program, "--no-socket", "--listen", f"unix:{path}", "--idle-exit", str(_IDLE_S)]
    environment = {k: v for k, v in os.environ.items() if k != "BERTH_SERVER"}
    create = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawn(
        program,
        command,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), create, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    end = time.monotonic() + _START_S
    while (held := _meet(path)) is None:
        ended = False
        with contextlib.suppress(ChildProcessError):  # somebody else reaps this process's children
            ended = os.waitpid(pid, os.WNOHANG)[0] != 0
        if ended:
            said = log.read_text(errors="replace").strip().splitlines()
            raise BerthError(f"berthd did not start: {said[-1] if said else log}", "ELOST")
        if time.monotonic() > end:
            raise BerthError(f"berthd did not answer in {_START_S:.0f} s; see {log}", "ELOST")
        time.sleep(_NAP_S)
    return held


@contextlib.contextmanager
def daemon() -> Iterator[str]:
    """The address of the daemon, which is there, and stays until this ends."""
    folder, key = _folder(), _key()
    path = folder / f"spawn-{key}.sock"
    with _locked(folder / f"spawn-{key}.lock"):
        held = _meet(path)
        if held is None:
            held = _start(path, folder / f"spawn-{key}.log")
    with held:
        yield f"unix:{path}"
