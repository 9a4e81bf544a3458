"""Numbers that a server or driver reads otherwise than they were written."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import (
    CHAR,
    REAL,
    BigInteger,
    Double,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    TypeDecorator,
    create_engine,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker
from typing_extensions import override

from layerkit.core.errors import ConflictError, ValidationError
from layerkit.repository import (
    ALL,
    Home,
    Inc,
    MemoryDatabase,
    Repository,
    Specification,
    adapter_for,
    field,
)
from layerkit.sql import Database, statements
from layerkit.sql.entities import MappedAdapter
from layerkit.sync import run


class Base(DeclarativeBase):
    """Hold the table of these tests."""


class Sum(Base):
    """Have numbers that SQLite keeps as floats."""

    __tablename__ = "digits_sums"

    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)
    money: Mapped[Decimal | None] = mapped_column(Numeric(20, 2))
    plain: Mapped[Decimal | None] = mapped_column(
        Numeric().with_variant(Numeric(30, 10), "mysql", "mariadb")
    )
    loose: Mapped[Decimal | None] = mapped_column(Float(53, asdecimal=True))
    fine: Mapped[Decimal | None] = mapped_column(Numeric(22, 6))
    coarse: Mapped[Decimal | None] = mapped_column(
        Numeric(10, 4, decimal_return_scale=2)
    )
    touched: Mapped[Decimal | None] = mapped_column(
        Numeric(8, 2), onupdate=lambda: Decimal("1.005")
    )


class Weight(Base):
    """Have floats of four bytes, and a text of five characters."""

    __tablename__ = "digits_weights"

    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)
    real: Mapped[float | None] = mapped_column(REAL)
    short: Mapped[float | None] = mapped_column(Float(24))
    code: Mapped[str | None] = mapped_column(CHAR(5))


_WEIGHTS = (0.1, 0.1, 1 / 3, 1e-20, 16777217.0, 1.5, 0.2)


@pytest.fixture
def sums(home: Home) -> Repository[Sum, int]:
    return Repository[Sum, int](home, Sum)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("money", Decimal("9999999999999.99")),
        ("money", Decimal("-123456.78")),
        ("plain", Decimal("12345.0123456789")),
        ("plain", Decimal(100000000000000)),
        ("loose", Decimal("0.3")),
    ],
)
async def test_a_decimal_of_fifteen_digits_is_held_by_every_home(
    sums: Repository[Sum, int], name: str, value: Decimal
) -> None:
    made = await sums.create({name: value})
    stored = await sums.get_by_id(made.id)

    assert getattr(made, name) == value
    assert getattr(stored, name) == value
    assert await sums.count(field(name) == value) == 1
    assert await sums.count(field(name) >= value) == 1
    assert await sums.count(field(name) > value) == 0


async def test_a_decimal_with_more_digits_than_sqlite_keeps_is_refused_there(
    sums: Repository[Sum, int],
) -> None:
    is_sqlite = isinstance(sums.home, Database) and sums.home.dialect.name == "sqlite"
    long = Decimal("123456789012345678.25")
    made = await sums.create({"money": Decimal("0.01")})

    if not is_sqlite:
        assert (await sums.create({"money": long})).money == long
        assert await sums.count(field("money") == long) == 1
        return
    refused = pytest.raises(ValidationError, match="money must have at most 15 digits")
    with refused:
        await sums.create({"money": Decimal("12345678901234.25")})
    refused = pytest.raises(ValidationError, match="at most 15 digits: SQLite")
    with refused:
        await sums.create({"money": long})
    with refused:
        await sums.create_many([{"money": long}])
    with refused:
        await sums.update(made.id, {"money": long})
    with refused:
        await sums.update_where(field("n") == 0, {"money": long})
    with refused:
        await sums.upsert({"id": made.id, "money": long}, key="id")
    with refused:
        async with sums.unit_of_work():
            held = await sums.get_by_id(made.id)
            assert held is not None
            held.money = long
    assert [s.money for s in await sums.get_all()] == [Decimal("0.01")]
    for name, amount in (("money", 10**13), ("plain", 10**15)):
        await sums.update(made.id, {name: Decimal(1)})
        with pytest.raises(ValidationError):
            await sums.update_where(ALL, {name: Inc(Decimal(amount))})
        with pytest.raises(ValidationError):
            await sums.update(made.id, {name: Inc(Decimal(amount))})
        added = await sums.update(made.id, {name: Inc(Decimal(amount // 100))})
        assert getattr(added, name) == amount // 100 + 1


@pytest.mark.parametrize("end", [10**19, -(10**19), Decimal(10**40), 10**400])
async def test_a_decimal_is_compared_with_any_number(
    sums: Repository[Sum, int], end: Any
) -> None:
    await sums.create({"money": Decimal(5), "plain": Decimal(5), "loose": Decimal(5)})

    for name in ("money", "plain", "loose"):
        assert await sums.count(field(name) > end) == (1 if end < 0 else 0)
        assert await sums.count(field(name) <= end) == (0 if end < 0 else 1)
        assert await sums.count(field(name).in_([end, Decimal(5)])) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("plain", Decimal("0.123456789055")),
        ("loose", Decimal("0.123456789055")),
        ("coarse", Decimal("1.2345")),
    ],
)
async def test_digits_behind_the_last_that_is_read_are_rounded_at_once(
    sums: Repository[Sum, int], name: str, value: Decimal
) -> None:
    made = await sums.create({name: value})
    stored = await sums.get_by_id(made.id)

    held = getattr(made, name)
    assert getattr(stored, name) == held
    assert held == pytest.approx(value, abs=Decimal("0.005"))
    assert await sums.count(field(name) == held) == 1


async def test_what_a_column_sets_at_an_update_is_rounded_as_it_holds_it(
    sums: Repository[Sum, int],
) -> None:
    made = await sums.create({"n": 1})
    changed = await sums.update(made.id, {"n": 2})
    async with sums.unit_of_work():
        held = await sums.get_by_id(made.id)
        assert held is not None
        held.n = 3
        await sums.count()
        tracked = held.touched
    await sums.update_where(field("n") == 3, {"n": 4})

    assert changed is not None
    assert changed.touched == tracked == Decimal("1.01")
    assert await sums.count(field("touched") == Decimal("1.01")) == 1
    other = await sums.create({"n": 1})
    upserted = await sums.upsert({"id": other.id, "n": 5}, key="id")
    await sums.upsert_many([{"id": other.id, "n": 6}], key="id")
    assert upserted.touched == Decimal("1.01")
    assert await sums.count(field("touched") == Decimal("1.01")) == 2


async def test_what_changes_nothing_sets_nothing(sums: Repository[Sum, int]) -> None:
    made = await sums.create({"n": 1})

    async with sums.unit_of_work():
        held = await sums.get_by_id(made.id)
        assert held is not None
        held.n = 2
        held.n = 1

    stored = await sums.get_by_id(made.id)
    assert stored is not None
    assert stored.touched is None


def test_what_is_known_of_a_class_on_sqlite_comes_from_its_own_limits(
    tmp_path: Path,
) -> None:
    class Own(DeclarativeBase):
        """Hold one table."""

    long = Decimal("123456789012345678.25")

    class Filled(Own):
        __tablename__ = "digits_filled"
        id: Mapped[int] = mapped_column(primary_key=True)
        n: Mapped[int] = mapped_column(default=0)
        made: Mapped[Decimal] = mapped_column(Numeric(20, 2), default=long)
        touched: Mapped[Decimal | None] = mapped_column(Numeric(20, 2), onupdate=long)

    memory = Repository[Filled, int](MemoryDatabase(), Filled)
    known = cast("MappedAdapter[Filled]", adapter_for(Filled))
    assert run(memory.create({"n": 1})).made == long
    assert known.touching({"n": 1}) == {"n": 1}  # what fits is SQLAlchemy's to set
    engine = create_engine(f"sqlite:///{tmp_path / 'filled.db'}")
    Own.metadata.create_all(engine)
    filled = Repository[Filled, int](sessionmaker(engine), Filled)

    with pytest.raises(ValidationError, match="made must have"):
        run(filled.create({"n": 1}))
    made = run(filled.create({"n": 1, "made": Decimal(1)}))
    with pytest.raises(ValidationError, match="touched must have"):
        run(filled.update(made.id, {"n": 2}))
    changed = run(filled.update(made.id, {"touched": Decimal(2)}))
    assert changed is not None
    assert changed.touched == 2
    engine.dispose()


async def test_a_decimal_of_endless_digits_is_refused(
    sums: Repository[Sum, int],
) -> None:
    for name in ("money", "loose"):
        with pytest.raises(ValidationError, match=rf"{name} must have at most \d+ "):
            await sums.create({name: Decimal("1E+3000")})


_LONG = [
    *("7331671.1791672", "36296590724.0336", "77653161050343.9", "8329009.14"),
    *("0.000008033", "8804.19300776", "31886794937.565", "868660318804389"),
]


@pytest.mark.parametrize("name", ["plain", "fine", "loose"])
async def test_a_decimal_of_many_digits_finds_its_own_row(
    sums: Repository[Sum, int], name: str
) -> None:
    for value in _LONG:
        made = await sums.create({name: Decimal(value)})
        stored = await sums.get_by_id(made.id)

        held = getattr(stored, name)
        assert held == getattr(made, name)
        if name == "plain":
            assert held == Decimal(value)
        by = field(name)
        for where in (by == held, by.in_([held]), by.between(held, held)):
            assert [row.id for row in await sums.find(where)] == [made.id]
        assert await sums.count((by > held) & (by < held + 1)) == 0
        assert await sums.update(made.id, {"n": 1}, when=by == held) is not None


@pytest.mark.parametrize("name", ["plain", "fine", "money"])
async def test_a_sum_keeps_the_digits_of_a_decimal(
    sums: Repository[Sum, int], name: str
) -> None:
    for value in ("7331671.1791672", "8329009.14", "8804.19300776", "99999999.999"):
        made = await sums.create({name: Decimal(value)})
        before = getattr(made, name)
        added = await sums.update(made.id, {name: Inc(Decimal(1))})
        await sums.update_where(field("id") == made.id, {name: Inc(Decimal("0.25"))})

        stored = await sums.get_by_id(made.id)
        assert getattr(added, name) == before + 1
        assert getattr(stored, name) == pytest.approx(before + Decimal("1.25"))
        assert await sums.count(field(name) == getattr(stored, name)) == 1


def test_an_engine_of_ones_own_reads_decimals_as_it_did(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'bare.db'}")
    Base.metadata.create_all(engine)
    sums = Repository[Sum, int](sessionmaker(engine), Sum)

    for value in _LONG:
        made = run(sums.create({"plain": Decimal(value)}))
        stored = run(sums.get_by_id(made.id))
        assert stored is not None
        assert stored.plain == made.plain
        assert run(sums.count(field("plain") == made.plain)) == 1
        assert run(sums.count(field("plain") == Decimal(value))) == 1
    engine.dispose()


async def test_a_sum_is_stored_with_the_digits_of_the_column_and_no_more(
    sqlite: Database,
) -> None:
    await sqlite.create_all(Base.metadata)
    made = await Repository[Sum, int](sqlite, Sum).create({"money": Decimal("0.1")})

    await Repository[Sum, int](sqlite, Sum).update(
        made.id, {"money": Inc(Decimal("0.2"))}
    )

    async with sqlite.engine.connect() as connection:
        raw = await connection.scalar(text("SELECT money FROM digits_sums"))
    assert raw == 0.3  # where 0.1 + 0.2 is more


async def test_a_whole_number_that_another_program_wrote_keeps_its_digits(
    sqlite: Database,
) -> None:
    await sqlite.create_all(Base.metadata)
    async with sqlite.engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO digits_sums (id, n, money) VALUES (1, 0, :value)"),
            {"value": 12345678901234567},
        )

    stored = await Repository[Sum, int](sqlite, Sum).get_by_id(1)

    assert stored is not None
    assert stored.money == 12345678901234567


_NEAR = Decimal("1.0000000000000001")


@pytest.mark.parametrize("value", [_NEAR, Decimal("1.001"), Decimal("0.999")])
async def test_a_decimal_with_more_digits_than_the_column_is_compared_as_it_is(
    sums: Repository[Sum, int], value: Decimal
) -> None:
    for money in (0, 1, 2, None):
        await sums.create({"money": money})
    by, below = field("money"), value < 1

    async def found(where: Specification) -> list[Decimal | None]:
        return [row.money for row in await sums.find(where)]

    assert await found(by == value) == []
    assert await found(~(by == value)) == [0, 1, 2]
    assert await found(by != value) == [0, 1, 2]
    assert await found(by.in_([value])) == []
    assert await found(~by.in_([value])) == [0, 1, 2]
    assert await found(by.in_([value, 2])) == [2]
    for where in (by > value, by >= value):
        assert await found(where) == ([1, 2] if below else [2])
    for where in (by < value, by <= value):
        assert await found(where) == ([0] if below else [0, 1])
    one = (await sums.find(by == 1))[0]
    with pytest.raises(ConflictError):
        await sums.update(one.id, {"n": 1}, when=by == value)


@pytest.mark.parametrize("name", ["money", "plain", "fine"])
@pytest.mark.parametrize("sign", [1, -1])
async def test_decimals_of_any_size_are_compared(
    sums: Repository[Sum, int], name: str, sign: int
) -> None:
    await sums.create({name: 0})
    by = field(name)

    for huge in (Decimal("1E+999999"), Decimal("1E+2001"), Decimal("1E+70")):
        assert await sums.count(by == sign * huge) == 0
        assert await sums.count(by < sign * huge) == (sign > 0)
        assert await sums.count(by >= sign * huge) == (sign < 0)
        assert await sums.count(by.in_([sign * huge, 0])) == 1
    tiny = sign * Decimal("1E-400")
    if name != "plain":
        assert await sums.count(by == tiny) == 0
        assert await sums.count(by < tiny) == (sign > 0)
        assert await sums.count(by > tiny) == (sign < 0)


async def test_halves_that_another_program_wrote_are_found_and_in_order(
    sqlite: Database,
) -> None:
    await sqlite.create_all(Base.metadata)
    sums = Repository[Sum, int](sqlite, Sum)
    async with sqlite.engine.begin() as connection:
        for half in (1.005, 2.005, 2.675, 1.115, 0.125, -1.005, 8.345):
            values = {"m": half, "l": half + 0.00000000012345}
            await connection.execute(
                text("INSERT INTO digits_sums (n, money, loose) VALUES (0, :m, :l)"),
                values,
            )

    stored = await sums.get_all()
    for name in ("money", "loose"):
        for row in stored:
            held = getattr(row, name)
            assert row.id in [r.id for r in await sums.find(field(name) == held)]
            assert (
                await sums.count((field(name) >= held) & (field("id") == row.id)) == 1
            )
        walked = [
            r.id async for r in sums.stream(order_by=field(name).desc(), batch_size=2)
        ]
        assert sorted(walked) == [row.id for row in stored]


class Single(Base):
    """Have floats of four bytes, which some servers keep in eight."""

    __tablename__ = "digits_singles"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(9), unique=True)
    real: Mapped[float | None] = mapped_column(REAL)
    whole: Mapped[int | None] = mapped_column(SmallInteger)
    double: Mapped[float | None] = mapped_column(Double)


async def test_a_float_of_four_bytes_that_another_program_wrote_finds_its_own_row(
    home: Home,
) -> None:
    if not isinstance(home, Database):
        return
    singles = Repository[Single, int](home, Single)
    numbers = (0.1, 0.3, 1 / 3, 1e-20, 2.5, -0.7, 16777217.0)
    async with home.engine.begin() as connection:
        for at, number in enumerate(numbers):
            await connection.execute(
                text("INSERT INTO digits_singles (code, real) VALUES (:c, :r)")
                if home.dialect.name != "mysql"
                else text("INSERT INTO digits_singles (code, `real`) VALUES (:c, :r)"),
                {"c": str(at), "r": number},
            )

    by, stored = field("real"), await singles.get_all()
    for row in stored:
        for where in (
            *(by == row.real, by.in_([row.real]), by.between(row.real, row.real)),
            (by >= row.real) & ~(by > row.real),
        ):
            assert [r.id for r in await singles.find(where)] == [row.id]
        changed = await singles.update(row.id, {"whole": 1}, when=by == row.real)
        assert changed is not None
    for order in (by.asc(), by.desc()):
        walked = [r.id async for r in singles.stream(order_by=order, batch_size=2)]
        assert sorted(walked) == [row.id for row in stored]


async def test_sums_of_floats_of_four_bytes_are_alike_by_every_verb(home: Home) -> None:
    singles = Repository[Single, int](home, Single)
    for _ in range(3):
        await singles.upsert({"code": "u", "real": Inc(0.1)}, key="code")
        await singles.upsert_many([{"code": "m", "real": Inc(0.1)}], key="code")
    await singles.create({"code": "w", "real": 0.1})
    for _ in range(2):
        await singles.update_where(field("code") == "w", {"real": Inc(0.1)})

    sums = [row.real for row in await singles.get_all()]
    assert sums == [0.30000001192092896] * 3
    assert await singles.count(field("real") == sums[0]) == 3


async def test_numbers_are_compared_as_the_column_has_them(home: Home) -> None:
    singles = Repository[Single, int](home, Single)
    await singles.create(
        {"code": "a", "double": 2.0**53, "real": 16777216.0, "whole": 2**15 - 1}
    )

    assert await singles.count(field("double") == 2**53 + 1) == 1
    assert await singles.count(field("real") == 16777217) == 1
    for beyond in (40_000, 2**31, 2**63, 2**70):
        assert await singles.count(field("whole") == beyond) == 0
        assert await singles.count(field("whole").in_([beyond, 2**15 - 1])) == 1
        assert await singles.count(field("whole") < beyond) == 1
        assert await singles.count(field("whole") > -beyond) == 1


class Points(TypeDecorator[int]):
    """Be a number of which nobody knows how great it may be."""

    impl = BigInteger
    cache_ok = True


class Game(Base):
    """Count points."""

    __tablename__ = "digits_games"

    id: Mapped[int] = mapped_column(primary_key=True)
    points: Mapped[int] = mapped_column(Points)


async def test_a_column_type_of_ones_own_is_added_to(home: Home) -> None:
    games = Repository[Game, int](home, Game)
    made = await games.create({"points": 1})

    await games.update_where(ALL, {"points": Inc(2)})
    changed = await games.update(made.id, {"points": Inc(4)})

    assert changed is not None
    assert changed.points == 7


class Lower(TypeDecorator[str]):
    """Send texts in lower case."""

    impl = String(20)
    cache_ok = True

    @override
    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return value and value.lower()


class Reversed(Lower):
    """Send texts backwards, and read them so."""

    cache_ok = True

    @override
    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return value and value[::-1]

    @override
    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        return value and value[::-1]


class Coded(TypeDecorator[int]):
    """Send numbers as texts that are read otherwise than they are sent."""

    impl = Integer
    cache_ok = True

    @override
    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value and str(value) if dialect.name == "sqlite" else value

    @override
    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return value and value + 0


class Tag(Base):
    """Have columns of types of ones own."""

    __tablename__ = "digits_tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    lower: Mapped[str | None] = mapped_column(Lower)
    backwards: Mapped[str | None] = mapped_column(Reversed)
    coded: Mapped[int | None] = mapped_column(Coded)


async def test_what_a_type_of_ones_own_changes_is_returned_as_it_is_stored(
    home: Home,
) -> None:
    if not isinstance(home, Database):
        return  # others keep values as they are given, and run no such type
    tags = Repository[Tag, int](home, Tag)
    given = {"lower": "ABC", "backwards": "Abc", "coded": 5}

    made = await tags.create(given)
    [returned] = await tags.create_many([given], returning=True)
    changed = await tags.update(made.id, {"lower": "DeF"})

    kept = ("abc", "Abc", 5)
    assert (made.lower, made.backwards, made.coded) == kept
    assert (returned.lower, returned.backwards, returned.coded) == kept
    assert changed is not None
    assert changed.lower == "def"


async def test_a_type_of_ones_own_that_changes_nothing_costs_no_statement(
    sqlite: Database,
) -> None:
    await sqlite.create_all(Base.metadata)
    tags = Repository[Tag, int](sqlite, Tag)

    with statements(max=1):
        await tags.create({"lower": "abc", "backwards": "Abc"})


class Blank(Base):
    """Have a text and bytes that servers fill up or cut."""

    __tablename__ = "digits_blanks"

    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)
    code: Mapped[str | None] = mapped_column(CHAR(5))
    blob: Mapped[bytes | None] = mapped_column(
        LargeBinary(4).with_variant(mysql.BINARY(4), "mysql", "mariadb")
    )


@pytest.mark.parametrize("code", ["ab", "ab ", "abcde"])
async def test_what_a_server_fills_up_or_cuts_is_made_as_it_is_read(
    home: Home, code: str
) -> None:
    blanks = Repository[Blank, int](home, Blank)

    made = await blanks.create({"code": code, "blob": b"a"})
    changed = await blanks.update(made.id, {"code": code, "blob": b"b"})
    stored = await blanks.get_by_id(made.id)

    assert changed is not None
    assert stored is not None
    assert stored.code == changed.code == made.code
    assert stored.blob == changed.blob
    assert len(made.blob or b"") == len(stored.blob or b"")
    found = (field("code") == stored.code) & (field("blob") == stored.blob)
    assert await blanks.count(found) == 1


@pytest.fixture(params=["psycopg", "psycopg2"])
def weights(
    request: pytest.FixtureRequest, library_postgres_url: str
) -> Iterator[Repository[Weight, int]]:
    """A repository on a driver that reads of a REAL the digits that are shown."""
    _, _, place = library_postgres_url.partition("://")
    engine = create_engine(f"postgresql+{request.param}://{place}")
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    yield Repository[Weight, int](sessionmaker(engine), Weight)
    engine.dispose()


@pytest.mark.parametrize("name", ["real", "short"])
def test_a_float_of_four_bytes_finds_its_own_row(
    weights: Repository[Weight, int], name: str
) -> None:
    made = [run(weights.create({name: value})) for value in _WEIGHTS]
    stored = run(weights.get_all())
    held = [getattr(row, name) for row in stored]
    by = field(name)

    assert [getattr(row, name) for row in made] == held
    assert held[0] == pytest.approx(0.1, rel=1e-7)
    for row, value in zip(stored, held, strict=True):
        same = [other.id for other, v in zip(stored, held, strict=True) if v == value]
        for where in (
            *(by == value, by.in_([value, 7.25]), by.between(value, value)),
            *((by >= value) & ~(by > value), (by <= value) & ~(by < value)),
        ):
            assert [w.id for w in run(weights.find(where))] == same
        changed = run(weights.update(row.id, {"n": 1, name: value}, when=by == value))
        assert changed is not None
        assert getattr(changed, name) == value


@pytest.mark.parametrize("name", ["real", "short"])
@pytest.mark.parametrize("falls", [False, True])
def test_pages_by_a_float_of_four_bytes_show_each_row_once(
    weights: Repository[Weight, int], name: str, *, falls: bool
) -> None:
    run(weights.create_many([{name: value} for value in _WEIGHTS]))
    order = field(name).desc() if falls else field(name).asc()

    page = run(weights.paginate(order_by=order, size=2))
    seen = list(page.items)
    while page.next_cursor is not None:
        page = run(weights.paginate(order_by=order, size=2, cursor=page.next_cursor))
        seen += page.items

    expected = [w.id for w in run(weights.find(ALL, order))]
    assert [w.id for w in seen] == expected
    assert len(set(expected)) == len(_WEIGHTS)


def test_a_float_of_four_bytes_is_compared_with_any_number(
    weights: Repository[Weight, int],
) -> None:
    run(weights.create({"real": 0.1}))

    assert run(weights.count(field("real") < 1e300)) == 1
    assert run(weights.count(field("real") > -(10**400))) == 1
    assert run(weights.count(field("real") == 0.1)) == 1
    assert run(weights.count(field("real").in_([0.1, 1e300]))) == 1


def test_a_text_that_is_filled_up_with_blanks_is_made_as_it_is_read(
    weights: Repository[Weight, int],
) -> None:
    made = run(weights.create({"code": "ab"}))
    stored = run(weights.get_by_id(made.id))

    assert stored is not None
    assert made.code == stored.code
    assert run(weights.count(field("code") == made.code)) == 1
    assert run(weights.count(field("code") == "ab")) == 1
