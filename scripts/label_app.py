"""MONAI Label's web application, which tells in one line why it refuses a view; see `scripts.label_server`."""

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from monailabel.app import app
from monailabel.tasks.train.bundle import BundleTrainTask

from bundle.data.errors import root_mammogram_error

options_of_training = BundleTrainTask.config


def options_with_run(self: BundleTrainTask) -> dict[str, Any]:
    """Options of a training with the id that it runs.

    3D Slicer sends every option back as it was told. For an empty id MONAI evaluates the whole config, and renders
    phantoms that labels do not need.
    """
    return {**options_of_training(self), "run_id": "run"}


BundleTrainTask.config = options_with_run


@app.exception_handler(RuntimeError)
@app.exception_handler(ValueError)
async def tell_refusal(request: Request, error: Exception) -> JSONResponse:
    """Answer with the line of a refused view.

    Raises:
        Exception: the error itself, which MONAI Label answers with "Internal Server Error", if it is no refusal.
    """
    if (refusal := root_mammogram_error(error)) is None:
        raise error
    return JSONResponse(status_code=422, content={"detail": str(refusal)})
