"""Columns that store one value in several forms, compared as what is read from them."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeGuard

from sqlalchemy import DateTime, Dialect, Float, Numeric, TypeDecorator
from sqlalchemy.types import TypeEngine

from layerkit.sql.dialects import Form, Server, check_driver, keeps, server_of
from layerkit.sql.dialects.numbers import (
    has_noise,
    is_single,
    plain_type,
    reads_decimals,
    scale_of,
    single_form,
)


def form_of(column: Any, server: Server) -> Form | None:
    """Return how *column* is compared; None where its values have one form."""
    kind = plain_type(column.type, server.name)
    form = server.form(column, kind)
    if form is None and server.widens_singles and is_single(kind):
        return single_form(column)
    return form


def rounding(kind: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], bool] | None:
    """Return what tells whether another value is read in place of one that was stored.

    Returns:
        None where values are read as they were stored.
    """
    server, plain = server_of(dialect), plain_type(kind, dialect.name)
    if _changes_what_it_sends(kind):
        return partial(_is_changed, kind, dialect)
    if isinstance(kind, DateTime) and kind.timezone and not keeps(DateTime, dialect):
        return bool
    if _is_noisy(plain, dialect):
        return partial(has_noise, scale_of(plain))
    return server.rounds(kind, plain, check_driver(dialect))


def _changes_what_it_sends(kind: TypeEngine[Any]) -> TypeGuard[TypeDecorator[Any]]:
    """Tell whether *kind* is of a user's own, and may send another value."""
    if not isinstance(kind, TypeDecorator):
        return False
    is_own = not type(kind).__module__.startswith(("layerkit.", "sqlalchemy."))
    return is_own and (
        type(kind).process_bind_param is not TypeDecorator.process_bind_param
    )


def _is_changed(kind: TypeDecorator[Any], dialect: Dialect, value: object) -> bool:
    """Tell whether *kind* reads another value than *value*, which it has sent."""
    sent = kind.process_bind_param(value, dialect)
    if type(kind).process_result_value is TypeDecorator.process_result_value:
        return bool(sent != value)
    try:
        return bool(kind.process_result_value(sent, dialect) != value)
    except Exception:  # noqa: BLE001 - it reads what a driver makes of it, and only that
        return True  # the database tells


def _is_noisy(
    kind: TypeEngine[Any], dialect: Dialect
) -> TypeGuard[Numeric[Any] | Float[Any]]:
    """Tell whether decimals are read of a float, and some digits that it has beyond."""
    if not reads_decimals(kind):
        return False
    return isinstance(kind, Float) or not keeps(Numeric, dialect)
