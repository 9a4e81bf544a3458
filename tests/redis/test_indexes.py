"""Indexes: after any writes they are what the documents ask for, and no more."""

import asyncio
import json
from dataclasses import dataclass
from typing import Annotated, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from layerkit.core.errors import AlreadyExistsError
from layerkit.redis import RedisDatabase, RedisRepository
from layerkit.repository import ALL, Indexed, Unique, field


@dataclass
class Seat:
    row: Annotated[int | None, Indexed(), Unique("place")] = None
    place: Annotated[int | None, Unique("place")] = None
    guest: Annotated[str | None, Indexed(), Unique()] = None
    id: int | None = None


class Undone(Exception):  # noqa: N818 - a signal
    """End a unit or a savepoint without a trace."""


SMALL = st.none() | st.integers(0, 2)
GUESTS = st.none() | st.sampled_from("ab")
VALUES = st.fixed_dictionaries(
    {}, optional={"row": SMALL, "place": SMALL, "guest": GUESTS}
)
IDS = st.integers(1, 6)
WRITE = (
    st.tuples(st.just("create"), VALUES)
    | st.tuples(st.just("update"), IDS, VALUES)
    | st.tuples(st.just("delete"), IDS)
    | st.tuples(st.just("upsert"), IDS, VALUES)
    | st.tuples(st.just("update_where"), st.integers(0, 2), GUESTS)
    | st.tuples(st.just("delete_where"), st.integers(0, 2))
)
UNIT = st.tuples(st.booleans(), st.lists(st.tuples(st.booleans(), WRITE), max_size=4))


async def write(seats: RedisRepository[Seat, int], step: tuple[Any, ...]) -> None:
    match step:
        case "create", values:
            await seats.create(values)
        case "update", seat_id, values:
            await seats.update(seat_id, values)
        case "delete", seat_id:
            await seats.delete(seat_id)
        case "upsert", seat_id, values:
            await seats.upsert({"id": seat_id, **values}, key="id")
        case "update_where", row, guest:
            await seats.update_where(field("row") == row, {"guest": guest})
        case "delete_where", row:
            await seats.delete_where(field("row") == row)


def undo(is_undone: bool) -> None:
    if is_undone:
        raise Undone


async def run(url: str, prefix: str, units: list[Any]) -> dict[int | None, Seat]:
    async with Redis.from_url(url) as client:
        seats = RedisRepository[Seat, int](RedisDatabase(client, prefix=prefix), Seat)
        for is_kept, steps in units:
            try:
                async with seats.unit_of_work() as unit:
                    for is_undone, step in steps:
                        try:
                            async with unit.savepoint():
                                await write(seats, step)
                                undo(is_undone)
                        except (AlreadyExistsError, Undone):
                            pass
                    undo(not is_kept)
            except Undone:
                pass
        return {seat.id: seat for seat in await seats.find(ALL)}


def stored_and_expected(url: str, prefix: str) -> tuple[Any, Any]:
    """Return the indexes on the server, and those that the documents ask for."""
    base = f"{{{prefix}}}:Seat:"
    stored: dict[str, Any] = {}
    expected: dict[str, Any] = {}
    with SyncRedis.from_url(url, decode_responses=True) as client:
        for key in client.scan_iter(match=f"{{{prefix}}}:Seat:*"):
            name = key.removeprefix(base)
            if name.startswith("doc:"):
                member = name.removeprefix("doc:")
                for index in asked_for(json.loads(client.get(key))):
                    if index.startswith("unique:"):
                        assert index not in expected
                        expected[index] = member
                    else:
                        expected.setdefault(index, set()).add(member)
            elif name.startswith("index:"):
                stored[name] = client.smembers(key)
            elif name.startswith("unique:"):
                stored[name] = client.get(key)
            elif name == "keys":
                stored[name] = set(client.zrange(key, 0, -1))
    return stored, expected


def asked_for(document: dict[str, Any]) -> list[str]:
    row, place, guest = (document[name] for name in ("row", "place", "guest"))
    in_row = "null" if row is None else f"i01.{row}"
    names = ["keys", f"index:row:{in_row}"]
    names.append(f"index:guest:{'null' if guest is None else f's{guest}'}")
    if guest is not None:
        names.append(f"unique:unique_guest:s{guest}")
    if row is not None and place is not None:
        names.append(f"unique:place:i01.{row}\0i01.{place}")
    return names


def test_indexes_are_what_the_documents_ask_for(
    redis_url: str, redis_prefix: str
) -> None:
    examples = iter(range(10**6))  # a prefix for each, past what hypothesis repeats

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(UNIT, max_size=5))
    def check(units: list[Any]) -> None:
        prefix = f"{redis_prefix}{next(examples)}"

        seats = asyncio.run(run(redis_url, prefix, units))

        stored, expected = stored_and_expected(redis_url, prefix)
        assert stored == expected
        assert len(stored.get("keys", ())) == len(seats)

    check()
