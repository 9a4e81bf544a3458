"""The errors of the shop and their answers, which the move leaves as they are."""

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse


class ShopError(Exception):
    """Refuse a request in the shop's own form."""

    def __init__(
        self, status: int, code: str, message: str, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field


def answer(error: ShopError) -> JSONResponse:
    body = {"code": error.code, "message": error.message, "field": error.field}
    return JSONResponse({"error": body}, error.status)


def absent(what: str, identity: int) -> ShopError:
    return ShopError(404, "not_found", f"there is no {what} {identity}")


def taken(field: str) -> ShopError:
    return ShopError(409, "duplicate", f"this {field} is taken", field)


def out_of_stock(sku: str) -> ShopError:
    return ShopError(409, "out_of_stock", f"not enough of {sku} is left")


def add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(ShopError)
    def refused(_: Request, error: ShopError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> JSONResponse:
        return answer(ShopError(error.status_code, "http", str(error.detail)))

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        where = ".".join(str(step) for step in error.errors()[0]["loc"])
        return answer(ShopError(422, "invalid", error.errors()[0]["msg"], where))
