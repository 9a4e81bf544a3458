"""What the contracts store, and what a backend says of itself."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, TypeAlias

from layerkit.repository import Key, Unique

OpenRepository: TypeAlias = Callable[[type], AbstractAsyncContextManager[Any]]
"""Given an entity class, returns an async context manager of an empty repository."""


@dataclass
class Item:
    """What a contract stores; a backend with classes of its own gives one like it.

    Attributes:
        name: Unique.
        qty: A number, or null.
        note: A text, or null.
        id: The key; the backend counts it up where it is None.
    """

    name: Annotated[str, Unique()]
    qty: int | None = None
    note: str | None = None
    id: int | None = None


@dataclass
class Record:
    """What a contract stores with a version, stamps, soft deletion and a tenant.

    Attributes:
        code: Unique among those that are not deleted.
        tenant: Whose it is.
        qty: A number.
        id: The key; the backend counts it up where it is None.
        version: Counted by the backend.
        created_at: Set by the backend, as are ``updated_at`` and ``deleted_at``.
    """

    code: Annotated[str, Unique("live_code", live=True)]
    tenant: str = "main"
    qty: int = 0
    id: int | None = None
    version: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    deleted_at: datetime | None = None


@dataclass
class Seat:
    """What a contract stores under a key of two fields.

    Attributes:
        row: The first part of the key.
        number: The second part.
        guest: A text, or null.
    """

    row: Annotated[str, Key()]
    number: Annotated[int, Key()]
    guest: str | None = None


class Status(Enum):
    """How far a sale is; its places are not the order of its names."""

    NEW = "new"
    DONE = "done"


@dataclass
class Sale:
    """What a contract stores to be added up.

    Attributes:
        region: A text, or null.
        status: A member of an Enum.
        amount: A number with two decimals, or null.
        weight: A float, or null.
        units: An integer of 64 bits, or null.
        sold_on: A day, or null.
        paid: True or false.
        id: The key; the backend counts it up where it is None.
    """

    region: str | None = None
    status: Status = Status.NEW
    amount: Decimal | None = None
    weight: float | None = None
    units: int | None = None
    sold_on: date | None = None
    paid: bool = False
    id: int | None = None


@dataclass
class Reading:
    """What a contract stores with numbers of all widths and a moment.

    A class with a table has a REAL, a DOUBLE, a NUMERIC(10, 2), an INTEGER, a text of
    20 characters, and lets the server make the moment.

    Attributes:
        code: Unique.
        at: A moment; made where it is None.
        narrow: A float, of four bytes where there are such.
        wide: A float.
        price: A decimal.
        whole: A number.
        text: A text.
        id: The key; the backend counts it up where it is None.
    """

    code: Annotated[str, Unique()]
    at: datetime | None = field(default_factory=lambda: datetime.now(UTC))
    narrow: float | None = None
    wide: float | None = None
    price: Decimal | None = None
    whole: int | None = None
    text: str | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Say what a backend can do; what is off must be refused, never approximated.

    ``optimistic`` alone refuses nothing: it says how units race.

    Attributes:
        unique: Unique rules of the entity are enforced.
        conditions: ``update(..., when=...)`` and ``Inc`` are atomic.
        transactions: ``unit_of_work()`` makes several writes one.
        batches: ``create_many``, ``update_where`` and ``delete_where`` do all or
            nothing.
        upserts: ``upsert`` and ``upsert_many`` are atomic.
        cursors: ``paginate`` goes by keyset.
        records: Versions, stamps, soft deletion and scopes are kept by every verb.
        composite_keys: Keys may have several fields.
        locks: ``lock=`` keeps others from writing what a unit has read.
        optimistic: A unit that others have overtaken is refused at its commit by a
            ConflictError that is retryable; off means that units wait for each other.
    """

    unique: bool = True
    conditions: bool = True
    transactions: bool = True
    batches: bool = True
    upserts: bool = True
    cursors: bool = True
    records: bool = True
    composite_keys: bool = True
    locks: bool = True
    optimistic: bool = False

    @classmethod
    def six_verbs(cls, *, unique: bool = False) -> "Capabilities":
        """Return those of a ``BaseRepository`` with its six verbs and nothing more.

        Args:
            unique: True where unique rules are enforced.
        """
        off = dict.fromkeys(cls.__dataclass_fields__, False)
        return cls(**off | {"unique": unique})
