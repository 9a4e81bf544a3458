"""The engine and the session of a request, which the move leaves as they are."""

from collections.abc import Iterator
from typing import Annotated, TypeAlias

from fastapi import Depends, Request
from sqlalchemy import Engine
from sqlmodel import Session, create_engine


def make_engine(url: str) -> Engine:
    return create_engine(url, pool_size=10, pool_pre_ping=True)


def get_session(request: Request) -> Iterator[Session]:
    with Session(request.app.state.engine) as session:
        yield session


SessionDep: TypeAlias = Annotated[Session, Depends(get_session)]
