"""Times with and without a zone: one rule for each kind of column, on every home."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import DateTime, Engine, Time, create_engine, insert, select, text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from layerkit.core.errors import NotSupportedError, ValidationError
from layerkit.repository import Home, Repository, Specification, field
from layerkit.sql import Database, UTCDateTime
from layerkit.sync import run

_NAIVE = datetime(2026, 3, 1, 10, 0, 5)  # noqa: DTZ001 - naive, as columns hold it
_IN_UTC = _NAIVE.replace(tzinfo=UTC)
_IN_PARIS = _IN_UTC.astimezone(timezone(timedelta(hours=1)))
_SAME = (_NAIVE, _IN_UTC, _IN_PARIS)
_EAST = timezone(timedelta(hours=14))


class Base(DeclarativeBase):
    """Hold the table of these tests."""


class Visit(Base):
    """Have times of every kind."""

    __tablename__ = "times_visits"

    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)
    plain: Mapped[datetime | None]
    aware: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    clock: Mapped[time | None]
    made: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    touched: Mapped[datetime | None] = mapped_column(
        DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"),
        onupdate=lambda: datetime.now(UTC),
    )
    utc: Mapped[datetime | None] = mapped_column(UTCDateTime)


class Zoned(Base):
    """Have a time of day with a zone."""

    __tablename__ = "times_zoned"

    id: Mapped[int] = mapped_column(primary_key=True)
    clock: Mapped[time] = mapped_column(Time(timezone=True))


@pytest.fixture
def visits(home: Home) -> Repository[Visit, int]:
    return Repository[Visit, int](home, Visit)


@pytest.mark.parametrize("given", _SAME, ids=["naive", "utc", "paris"])
@pytest.mark.parametrize("name", ["plain", "aware"])
async def test_a_moment_is_kept_in_utc_with_a_zone_where_the_column_has_one(
    visits: Repository[Visit, int], name: str, given: datetime
) -> None:
    kept = _IN_UTC if name == "aware" else _NAIVE

    made = await visits.create({name: given})

    assert getattr(made, name) == kept
    stored = await visits.get_by_id(made.id)
    assert getattr(stored, name) == kept
    assert getattr(stored, name).tzinfo == kept.tzinfo


@pytest.mark.parametrize("name", ["plain", "aware"])
async def test_a_moment_is_found_in_whichever_zone_it_is_asked_for(
    visits: Repository[Visit, int], name: str
) -> None:
    made = await visits.create({name: _IN_PARIS})
    await visits.create({name: _IN_PARIS + timedelta(hours=1)})
    at, second = field(name), timedelta(seconds=1)

    for same in _SAME:
        wanted = (
            *(at == same, at.in_([same]), at <= same, at < same + second),
            at.between(same, same + second),
        )
        for where in wanted:
            assert [v.id for v in await visits.find(where)] == [made.id], where
        assert await visits.count(at > same) == 1
        changed = await visits.update(made.id, {name: same}, when=at == same)
        assert changed is not None
        assert getattr(changed, name) == getattr(made, name)


async def test_what_a_column_fills_in_is_held_to_its_kind(
    visits: Repository[Visit, int],
) -> None:
    before = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=1)
    made = await visits.create({"n": 1})
    changed = await visits.update(made.id, {"n": 2})
    await visits.update_where(field("n") == 2, {"n": 3})
    async with visits.unit_of_work():
        held = await visits.get_by_id(made.id)
        assert held is not None
        held.n = 4
        await visits.save(held) if hasattr(visits, "save") else None

    stored = await visits.get_by_id(made.id)

    assert changed is not None
    assert stored is not None
    for value in (made.made, changed.touched, stored.touched):
        assert value is not None
        assert value.tzinfo is None
        assert value >= before


async def test_a_time_of_day_with_a_zone_is_refused_where_the_column_has_none(
    visits: Repository[Visit, int],
) -> None:
    aware = time(10, tzinfo=UTC)
    made = await visits.create({"clock": time(10)})

    with pytest.raises(ValidationError, match="clock must not have a time zone"):
        await visits.create({"clock": aware})
    with pytest.raises(ValidationError, match="clock must not have a time zone"):
        await visits.update(made.id, {"clock": aware})
    with pytest.raises(ValidationError, match="clock must not have a time zone"):
        await visits.count(field("clock") == aware)
    assert await visits.count(field("clock") >= time(10)) == 1


async def test_a_time_of_day_with_a_zone_is_for_homes_that_keep_it(home: Home) -> None:
    if isinstance(home, Database) and home.dialect.name != "postgresql":
        with pytest.raises(
            NotSupportedError, match=r"Zoned\.clock .* PostgreSQL alone"
        ):
            Repository[Zoned, int](home, Zoned)
        return
    zoned = Repository[Zoned, int](home, Zoned)

    with pytest.raises(ValidationError, match="clock must have a time zone"):
        await zoned.create({"clock": time(10)})
    with pytest.raises(ValidationError, match="clock must have a time zone"):
        await zoned.count(field("clock") >= time(10))
    made = await zoned.create({"clock": time(10, tzinfo=_EAST)})
    stored = await zoned.get_by_id(made.id)
    assert stored is not None
    assert stored.clock == time(10, tzinfo=_EAST)


@pytest.mark.parametrize("name", ["plain", "aware", "utc"])
async def test_a_moment_beyond_the_years_of_utc_is_refused(
    visits: Repository[Visit, int], name: str
) -> None:
    first = datetime(1, 1, 1, tzinfo=_EAST)

    with pytest.raises(ValidationError, match=name):
        await visits.create({name: first})
    with pytest.raises(ValidationError, match=name):
        await visits.count(field(name) > first)


class Term(Base):
    """Begin and end some time, or never."""

    __tablename__ = "times_terms"

    id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[date | None]
    at: Mapped[datetime | None] = mapped_column(
        DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    )
    utc: Mapped[datetime | None] = mapped_column(UTCDateTime)


_ENDS = {
    "day": (date(2026, 3, 1), date.min, date.max),
    "at": (_NAIVE, datetime.min, datetime.max),  # noqa: DTZ901 - naive, as the column
    "utc": (_IN_UTC, *(m.replace(tzinfo=UTC) for m in (datetime.min, datetime.max))),  # noqa: DTZ901 - aware here
}


async def check_ends(terms: Repository[Term, int], name: str) -> None:
    """Look for now, the first and the last time, which stand in rows 1, 2 and 3."""
    by, (now, first, last) = field(name), _ENDS[name]

    async def found(where: Specification) -> list[int]:
        return [term.id for term in await terms.find(where)]

    for number, value in ((1, now), (2, first), (3, last)):
        assert await found(by == value) == [number]
        assert await found(by.in_([value])) == [number]
        assert await found(~(by == value)) == [n for n in (1, 2, 3) if n != number]
        assert await found(by != value) == [n for n in (1, 2, 3) if n != number]
        held = await terms.get_by_id(number)
        assert getattr(held, name) == value
        assert await terms.update(number, {}, when=by == value) is not None
    assert await found(by.in_([now, last])) == [1, 3]
    assert await found(by.in_([first, last])) == [2, 3]
    assert await found(by > last) == await found(by < first) == []
    assert await found(~(by > last)) == await found(~(by < first)) == [1, 2, 3]
    assert await found(by <= last) == await found(by >= first) == [1, 2, 3]
    assert await found(by >= last) == [3]
    assert await found(by <= first) == [2]
    assert await found(by < last) == [1, 2]
    assert await found(by > first) == [1, 3]
    for order, expected in ((by.asc(), [2, 1, 3]), (by.desc(), [3, 1, 2])):
        known = terms.stream(~by.is_null(), order_by=order, batch_size=1)
        assert [term.id async for term in known] == expected


@pytest.mark.parametrize("name", _ENDS)
async def test_the_first_and_the_last_time_are_found(home: Home, name: str) -> None:
    terms = Repository[Term, int](home, Term)
    await terms.create_many([{name: value} for value in _ENDS[name]])
    await terms.create({name: None})

    await check_ends(terms, name)


@pytest.mark.parametrize("name", _ENDS)
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_the_first_and_the_last_time_that_others_wrote_are_found(
    library_postgres_url: str, name: str, driver: str
) -> None:
    _, _, place = library_postgres_url.partition("://")
    async with Database(f"postgresql+{driver}://{place}") as database:
        async with database.engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
            for value in (*map(str, _ENDS[name]), None):
                written = f"INSERT INTO times_terms ({name}) VALUES ({value!r})"  # noqa: S608 - a test's own
                await connection.execute(text(written.replace("None", "NULL")))
        await check_ends(Repository[Term, int](database, Term), name)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """A synchronous engine as SQLAlchemy makes it, with the tables."""
    url = f"sqlite:///{tmp_path / 'bare.db'}"
    if request.param != "sqlite":
        server = {"postgresql": "postgres", "mariadb": "mysql"}[request.param]
        url = request.getfixturevalue(f"library_{server}_url")
        url = url.replace("+asyncmy", "+pymysql")
        url = url.replace("postgresql://", "postgresql+psycopg://")
        url = url.replace("+asyncpg", "+psycopg")
    engine = create_engine(url)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    return engine


def test_an_engine_of_ones_own_reads_zones_as_it_did(bare: Engine) -> None:
    visits = Repository[Visit, int](sessionmaker(bare), Visit)
    has_zones = bare.dialect.name == "postgresql"

    made = run(visits.create({"aware": _IN_PARIS, "plain": _IN_PARIS}))
    changed = run(visits.update(made.id, {"aware": _IN_PARIS, "n": 1}))
    stored = run(visits.get_by_id(made.id))
    counts = [run(visits.count(field("aware") == same)) for same in _SAME]

    kept = _IN_UTC if has_zones else _NAIVE
    for visit in (made, changed, stored):
        assert visit is not None
        assert visit.aware == kept
        assert visit.plain == _NAIVE
    assert counts == [1, 1, 1]
    bare.dispose()


async def test_statements_of_ones_own_keep_the_moment(home: Home) -> None:
    if not isinstance(home, Database):
        return
    visits = Repository[Visit, int](home, Visit)
    async with home.engine.begin() as connection:
        values = {"id": 7, "aware": _IN_PARIS, "plain": _NAIVE, "made": _NAIVE}
        await connection.execute(insert(Visit), values)
        written = (await connection.execute(select(Visit.plain, Visit.aware))).one()
        shown = await connection.scalar(text("SELECT plain FROM times_visits"))

    found = await visits.get_by_id(7)

    assert written.aware == _IN_UTC
    assert written.plain == _NAIVE
    assert str(shown).startswith("2026-03-01 10:00:05")
    assert found is not None
    assert found.aware == _IN_UTC
