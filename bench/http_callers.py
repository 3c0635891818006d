#!/usr/bin/env python3
"""N callers post sound files to /v1/audio/transcriptions and wait; prints one JSON object.

usage: http_callers.py WHO PORT N [--own] FILE...     (--own: Berth's further fields, so that both sides
                                                       do the same work)

A first request, not counted, waits until the server is there and has its model. Standard library only.
"""
import http.client
import json
import sys
import threading
import time

BOUNDARY = "----berth-bench"


def form(path, fields):
    with open(path, "rb") as f:
        sound = f.read()
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode()
             for k, v in fields.items()]
    parts.append(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
                 "Content-Type: audio/wav\r\n\r\n".encode() + sound + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def post(port, body):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    c.request("POST", "/v1/audio/transcriptions", body,
              {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    answer = c.getresponse()
    text = answer.read()
    c.close()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {text[:300]!r}")
    return json.loads(text)["text"]


def wait_for(port, body):
    for _ in range(600):
        try:
            return post(port, body)
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise RuntimeError("the server did not come up")


def main(who, port, n, files, fields):
    bodies = {path: form(path, fields) for path in files}
    wait_for(port, bodies[files[0]])
    left, lock, latencies = list(reversed(files)), threading.Lock(), []

    def caller():
        while True:
            with lock:
                if not left:
                    return
                path = left.pop()
            start = time.perf_counter()
            post(port, bodies[path])
            with lock:
                latencies.append(time.perf_counter() - start)

    threads = [threading.Thread(target=caller) for _ in range(n)]
    start = time.perf_counter()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wall = time.perf_counter() - start
    latencies.sort()
    print(json.dumps({"who": who, "callers": n, "wall_s": round(wall, 3), "requests": len(latencies),
                      "p50_s": round(latencies[len(latencies) // 2], 3),
                      "p95_s": round(latencies[int(len(latencies) * 0.95)], 3)}))


if __name__ == "__main__":
    args = sys.argv[1:]
    common = {"model": "whisper-1", "language": "en", "temperature": "0"}
    own = "--own" in args
    if own:
        args.remove("--own")
        common.update(temperature_increment_on_fallback="None", condition_on_previous_text="False")
    main(args[0], int(args[1]), int(args[2]), args[3:], common)
