"""Cursors: where a page begins, signed, and bound to the list that they come from.

A cursor holds the values that an entity is sorted by, in the clear. Its signature
covers the entity, filter, scope and order as well, so that a cursor of another list is
as invalid as one that was tampered with.
"""

import binascii
import hashlib
import hmac
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Container
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from layerkit.core.errors import ValidationError
from layerkit.core.logging import get_logger
from layerkit.repository.filters.specification import (
    And,
    Comparison,
    Not,
    Operator,
    Or,
    Order,
    Orders,
    Specification,
)
from layerkit.repository.filters.values import decode_value, encode_value

logger = get_logger("layerkit.repository")

_SIGNATURE_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Position:
    """A position between two entities of a sorted list.

    Attributes:
        values: What the entity at hand is sorted by, in the order of the orders.
        backward: True for the page that ends before it, False for the one after.
        inclusive: True where the entity itself is on that page.
    """

    values: tuple[Any, ...]
    backward: bool = False
    inclusive: bool = False


@dataclass(frozen=True, slots=True)
class PagedList:
    """Say which list a cursor belongs to.

    Attributes:
        entity: The name of the class.
        where: The whole filter, the scope included.
        orders: The whole order, which leaves no ties.
    """

    entity: str
    where: Specification
    orders: Orders


@cache
def process_key() -> bytes:
    """Return the key for cursors that is made for this process alone."""
    logger.info(
        "cursors are signed with a key of this process: another process, or the "
        "next start, refuses them; give the home a cursor_secret="
    )
    return secrets.token_bytes(32)


def write_cursor(key: bytes, position: Position, paged: PagedList) -> str:
    """Return *position* in *paged* as an opaque text, signed with *key*."""
    flags = position.backward + 2 * position.inclusive
    held = [flags, *map(encode_value, position.values)]
    payload = json.dumps(held, separators=(",", ":")).encode()
    return urlsafe_b64encode(_sign(key, payload, paged) + payload).decode()


def read_cursor(key: bytes, cursor: str, paged: PagedList) -> Position:
    """Return the position that *cursor* stands for in *paged*.

    Raises:
        ValidationError: It was changed, or comes from another list or key.
    """
    invalid = ValidationError(
        "the cursor does not belong to this list: begin again without one, with the "
        "filter and order as they are now",
        fields=("cursor",),
    )
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii"))
    except (AttributeError, UnicodeError, binascii.Error) as error:
        raise invalid from error
    signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    # The decoder skips what is no Base64, so that many texts mean the same bytes.
    is_ours = hmac.compare_digest(signature, _sign(key, payload, paged))
    if not is_ours or urlsafe_b64encode(raw).decode() != cursor:
        raise invalid
    flags, *values = json.loads(payload)
    return Position(tuple(map(decode_value, values)), bool(flags & 1), bool(flags & 2))


def after(
    orders: Orders, position: Position, nullable: Container[str]
) -> Specification:
    """Return what comes after *position* in *orders*, as a filter.

    ``(a >= 1) & ((a > 1) | (b >= 2) & ((b > 2) | (id > 3)))``: nothing but comparisons
    for order, so that ties are what the storage's own sorting takes for ties.

    Args:
        orders: Of which the last, a key, has no ties and no nulls.
        position: Its ``values`` match *orders*.
        nullable: The fields that may be null.
    """
    *rest, (order, value) = zip(orders, position.values, strict=True)
    where: Specification = _compared(order, value, tied=position.inclusive)
    for order, value in reversed(rest):
        nulls = Comparison(order.field, "null")
        has_nulls = order.field in nullable
        if value is None:
            where = Or((Not(nulls), where)) if order.nulls_first else nulls & where
            continue
        level: Specification = _compared(order, value, tied=True)
        later: Specification = Or((_compared(order, value), where))
        if has_nulls and not order.nulls_first:
            level, later = level | nulls, later | nulls
        where = And((level, later))
    return where


def _compared(order: Order, value: object, *, tied: bool = False) -> Comparison:
    operators: tuple[Operator, Operator]
    operators = ("lt", "le") if order.descending else ("gt", "ge")
    return Comparison(order.field, operators[tied], value)


def _sign(key: bytes, payload: bytes, paged: PagedList) -> bytes:
    text = f"{paged.entity} {describe(paged.where)} {paged.orders!r}"
    query = text.encode("utf-8", "backslashreplace")
    message = len(query).to_bytes(8) + query + payload
    return hmac.digest(key, message, hashlib.sha256)[:_SIGNATURE_BYTES]


def describe(where: Specification) -> str:
    """Return *where* as a text that is the same in every process."""
    match where:
        case Comparison(name, "in", tuple(values)):
            return f"{name} in {sorted(set(map(repr, values)))}"  # a set has no order
        case And(parts) | Or(parts):
            texts = ", ".join(map(describe, parts))
            return f"{type(where).__name__}({texts})"
        case Not(part):
            return f"Not({describe(part)})"
    return repr(where)
