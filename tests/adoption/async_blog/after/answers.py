"""The errors of layerkit in the form of FastAPI's own."""

from fastapi import Request
from fastapi.responses import JSONResponse

from layerkit import AlreadyExistsError, NotFoundError
from layerkit.core import AppException


async def render(_: Request, error: AppException) -> JSONResponse:
    detail = error.message
    if isinstance(error, NotFoundError):
        detail = f"there is no such {str(error.entity).lower()}"
    if isinstance(error, AlreadyExistsError):
        detail = f"this {error.fields[-1]} is taken"
    return JSONResponse({"detail": detail}, error.status_code)
