"""Telling by the driver's error which unique rule was broken."""

from psycopg.errors import UniqueViolation
from sqlalchemy.exc import IntegrityError

from tests.adoption.sync_shop.errors import ShopError, taken

FIELDS = {"customers_email_key": "email", "products_sku_key": "sku"}


def duplicate(error: IntegrityError) -> ShopError | None:
    if not isinstance(error.orig, UniqueViolation):
        return None
    field = FIELDS.get(error.orig.diag.constraint_name or "")
    return None if field is None else taken(field)
