"""Sums of an upsert that their column does not hold: refused on every home alike."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import BigInteger, Double, Numeric, SmallInteger, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit.core.errors import ValidationError
from layerkit.repository import Home, Inc, Repository


class Base(DeclarativeBase):
    """Hold the table of this file."""


class Meter(Base):
    """Count in numbers of every size."""

    __tablename__ = "meters"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(5), unique=True)
    small: Mapped[int] = mapped_column(SmallInteger, default=0)
    big: Mapped[int] = mapped_column(BigInteger, default=0)
    exact: Mapped[Decimal] = mapped_column(Numeric(6, 2), default=Decimal(0))
    wide: Mapped[float] = mapped_column(Double, default=0.0)


MOST: dict[str, Any] = {
    "small": 2**15 - 1,
    "big": 2**63 - 1,
    "exact": Decimal("9999.99"),
    "wide": 1.7e308,
}


@pytest.mark.parametrize("name", MOST)
@pytest.mark.parametrize("many", [False, True])
async def test_a_sum_beyond_the_column_is_refused_and_named(
    home: Home, name: str, many: bool
) -> None:
    meters = Repository[Meter, int](home, Meter)
    made = await meters.create({"code": "a", name: MOST[name]})
    more = {"code": "a", name: Inc(MOST[name])}

    with pytest.raises(ValidationError) as refused:
        if many:
            await meters.upsert_many([more], key="code")
        else:
            await meters.upsert(more, key="code")

    kept = await meters.get_by_id(made.id)
    assert refused.value.fields == (name,)
    assert getattr(kept, name) == MOST[name]


@pytest.mark.parametrize("name", MOST)
async def test_a_sum_that_the_column_holds_is_stored(home: Home, name: str) -> None:
    meters = Repository[Meter, int](home, Meter)
    await meters.create({"code": "a", name: -MOST[name]})

    found = await meters.upsert({"code": "a", name: Inc(MOST[name])}, key="code")

    assert getattr(found, name) == 0
