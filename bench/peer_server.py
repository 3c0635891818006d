#!/usr/bin/env python3
"""faster-whisper behind FastAPI and uvicorn, as people serve it: one model, requests in a thread pool.

usage: peer_server.py MODEL TYPE WORKERS THREADS PORT
"""
import io
import sys

import uvicorn
from fastapi import FastAPI, File, Form, UploadFile
from faster_whisper import WhisperModel


def application(model):
    app = FastAPI()

    @app.post("/v1/audio/transcriptions")  # not async: FastAPI runs it in a thread of its pool
    def transcribe(file: UploadFile = File(), language: str = Form(), temperature: float = Form()):
        segments, _ = model.transcribe(io.BytesIO(file.file.read()), language=language,
                                       temperature=temperature, beam_size=1,
                                       condition_on_previous_text=False)
        return {"text": "".join(s.text for s in segments)}

    return app


if __name__ == "__main__":
    path, compute_type, workers, threads, port = sys.argv[1:]
    whole = WhisperModel(path, device="cpu", compute_type=compute_type, num_workers=int(workers),
                         cpu_threads=int(threads))
    uvicorn.run(application(whole), host="127.0.0.1", port=int(port), log_level="error")
