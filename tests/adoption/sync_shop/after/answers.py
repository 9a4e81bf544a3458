"""The errors of layerkit in the shop's own form."""

from fastapi import Request
from fastapi.responses import JSONResponse

from layerkit import AlreadyExistsError, NotFoundError
from layerkit.core import AppException
from tests.adoption.sync_shop.errors import ShopError, absent, answer, taken


async def render(_: Request, error: AppException) -> JSONResponse:
    if isinstance(error, NotFoundError) and isinstance(error.entity_id, int):
        return answer(absent(str(error.entity).lower(), error.entity_id))
    if isinstance(error, AlreadyExistsError):
        return answer(taken(error.fields[0]))
    return answer(ShopError(error.status_code, error.code.lower(), error.message))
