"""Seats that can be taken, for applications on synchronous sessions."""

import asyncio
from collections.abc import Callable

from fastapi import FastAPI
from sqlalchemy import Engine, UniqueConstraint, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from layerkit import BaseService, BusinessRuleError, Repository


class Base(DeclarativeBase): ...


class Seat(Base):
    __tablename__ = "seats"
    __table_args__ = (
        # Checked at COMMIT and not before, on PostgreSQL.
        UniqueConstraint("place", deferrable=True, initially="DEFERRED").ddl_if(
            dialect="postgresql"
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[int]


class Seats(Repository[Seat, int]): ...


class SeatService(BaseService[Seat, int]):
    def __init__(self, seats: Seats) -> None:
        super().__init__(seats)
        self.seats = seats

    async def take(self, *places: int) -> None:
        async with self.unit_of_work():
            for place in places:
                await self.seats.create({"place": place})
            if 0 in places:
                raise BusinessRuleError("there is no place 0")


def stored(engine: Engine) -> list[int]:
    """Return the places that another connection sees."""
    with Session(engine) as other:
        return sorted(other.scalars(select(Seat.place)))


class Watch:
    """See what is stored as an answer is sent."""

    def __init__(self, app: ASGIApp, look: Callable[[], list[int]]) -> None:
        self.app, self.look = app, look
        self.seen: list[list[int]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.seen.append(await asyncio.to_thread(self.look))
            await send(message)

        await self.app(scope, receive, note)


def watched(app: FastAPI, engine: Engine) -> list[list[int]]:
    """Return what will be there at each answer of *app*."""
    seen: list[list[int]] = []

    class Noting(Watch):
        def __init__(self, app: ASGIApp) -> None:
            super().__init__(app, lambda: stored(engine))
            self.seen = seen

    app.add_middleware(Noting)
    return seen
