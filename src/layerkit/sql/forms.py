"""Columns that store one value in several forms, compared as what is read from them."""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, TypeGuard

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Enum,
    Float,
    Numeric,
    Text,
    TypeDecorator,
    Uuid,
    cast,
)
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


class Compared:
    """A column as it is compared on a server; what that takes is worked out once.

    Args:
        column: The column, or the mapped attribute of it.
        server: What is known of the server.
    """

    def __init__(self, column: Any, server: Server) -> None:
        self.column, self.server = column, server
        self._kind = plain_type(column.type, server.name)

    @cached_property
    def form(self) -> Form | None:
        """How its values are compared; None where each has one form."""
        form = self.server.form(self.column, self._kind)
        if form is None and self.server.widens_singles and is_single(self._kind):
            return single_form(self.column)
        return form

    @cached_property
    def texts(self) -> Sequence[str] | None:
        """The only texts that an Enum without a class is compared with."""
        kind = self._kind
        if isinstance(self.column.type, TypeDecorator) or not isinstance(kind, Enum):
            return None
        is_known = kind.validate_strings or self._is_native
        return kind.enums if kind.enum_class is None and is_known else None

    @cached_property
    def as_text(self) -> Any:
        """The column, or the text of it where it is an Enum of the server's own."""
        return cast(self.column, Text) if self._is_native else self.column

    @cached_property
    def folds(self) -> bool:
        """True where the collation may take a text for another."""
        return self.server.folds_texts and not isinstance(self._kind, Uuid)

    @property
    def _is_native(self) -> bool:
        """True for an Enum that the server has a type of its own for.

        That type sorts by the place of a member, and PostgreSQL's is not searched.
        """
        kind = self._kind
        return isinstance(kind, Enum) and kind.native_enum and self.server.has_enums


def is_json(kind: TypeEngine[Any]) -> bool:
    """Tell whether *kind*, or what it decorates, stores JSON."""
    return isinstance(kind.impl if isinstance(kind, TypeDecorator) else kind, JSON)


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
    is_float = isinstance(plain, Float) or not keeps(Numeric, dialect)
    if is_float and reads_decimals(plain):  # a float has digits behind the last one
        return partial(has_noise, scale_of(plain))
    return server.rounds(plain, check_driver(dialect))


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
