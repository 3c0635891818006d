"""Speech to text over HTTP with FastAPI.

    pip install ./python fastapi uvicorn python-multipart
    BERTH_SERVER=spawn BERTH_CONFIG=berth.yaml uvicorn --app-dir examples --workers 4 fastapi_app:app

    curl -F file=@talk.wav http://127.0.0.1:8000/transcribe
    curl http://127.0.0.1:8000/api/model-stats

Every request takes a lease of its own; requests that run at the same time step through the network
together. With BERTH_SERVER=spawn all workers share one daemon, and with it one copy of the models; a
single worker (BERTH_SERVER=none, and BERTH_WHISPER_MODEL may be a path then) serves many requests too.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, File, HTTPException, UploadFile
from fastapi.responses import JSONResponse

import berth
from berth import get_model_manager

app = FastAPI(title="Transcriptions")
MOST_WAIT_S = 30.0


@app.get("/api/model-stats")
def model_stats() -> JSONResponse:
    return JSONResponse(
        content={"success": True, "stats": get_model_manager().get_model_usage_stats()}
    )


@app.post("/transcribe")
async def transcribe(
    file: Annotated[UploadFile, File()], language: str | None = None
) -> dict[str, Any]:
    """The event loop serves others while the sound is transcribed."""
    sound = await file.read()
    try:
        async with get_model_manager().get_whisper_model_safe(timeout=MOST_WAIT_S) as model:
            return await model.transcribe_async(sound, language=language)
    except (berth.AudioError, berth.InvalidOption) as e:
        raise HTTPException(400, str(e)) from e
    except berth.LeaseTimeout as e:
        raise HTTPException(503, str(e), headers={"Retry-After": "5"}) from e


@app.post("/api/cleanup")
def clean_up() -> dict[str, Any]:
    """A plain function: FastAPI runs it on a thread, where it may wait."""
    report = get_model_manager().cleanup_all_models(timeout=MOST_WAIT_S)
    return {"success": True, "unloaded": report.models_unloaded, "forced": report.forced}
