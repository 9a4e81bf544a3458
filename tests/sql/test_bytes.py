"""Bytes are stored and found by every asynchronous driver."""

from pathlib import Path

import pytest
from sqlalchemy import LargeBinary
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit import Repository, field
from layerkit.sql import Database
from tests.sql.test_drivers import ASYNCHRONOUS, address_of

BYTES = bytes(range(256))


class Base(DeclarativeBase): ...


class Blob(Base):
    __tablename__ = "bytes_blobs"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)


class Blobs(Repository[Blob, int]): ...


@pytest.mark.parametrize("driver", ASYNCHRONOUS)
async def test_bytes_are_stored_and_found(
    request: pytest.FixtureRequest, driver: str, tmp_path: Path
) -> None:
    async with Database(address_of(request, driver, tmp_path / "bytes.db")) as database:
        async with database.engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        blobs = Blobs(database)
        made = await blobs.create({"body": BYTES})
        await blobs.create_many([{"body": b""}, {"body": b"\\'"}])

        found = await blobs.find(field("body") == BYTES)

        assert [(blob.id, blob.body) for blob in found] == [(made.id, BYTES)]
        assert await blobs.count(field("body").in_([b"", b"\\'"])) == 2
        assert await blobs.update_where(field("body") == b"", {"body": b"x"}) == 1
