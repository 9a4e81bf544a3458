"""Values that no row has: every home answers alike."""

from decimal import Decimal

import pytest
from sqlalchemy import Numeric
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit import Repository, UsageError, field
from layerkit.repository import Home


class Base(DeclarativeBase): ...


class Bill(Base):
    __tablename__ = "far_bills"

    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[Decimal] = mapped_column(Numeric(10, 2))


class Bills(Repository[Bill, int]): ...


@pytest.mark.parametrize(
    "far",
    [10**21, 10**99, 10**120, -(10**120), 10**4_000],
    ids=lambda n: f"{n:x}"[:3] + str(n.bit_length()),
)
async def test_a_key_beyond_every_column_is_no_ones(home: Home, far: int) -> None:
    bills = Bills(home)
    bill = await bills.create({"total": Decimal(1)})

    assert await bills.get_by_id(far) is None
    assert await bills.get_many([far]) == []
    assert not await bills.delete(far)
    assert await bills.count(field("id") == far) == 0
    assert await bills.count(field("id").in_([far, bill.id])) == 1
    assert await bills.count(field("id") < far) == (far > 0)
    assert await bills.count(field("id") > far) == (far < 0)


async def test_a_scope_by_what_its_column_rounds_names_the_value(home: Home) -> None:
    with pytest.raises(UsageError, match="scope by that") as refused:
        Bills(home).scoped(field("total") == Decimal("0.005"))

    assert refused.value.value == Decimal("0.005")
    assert refused.value.expected == "a value that total holds unchanged"
