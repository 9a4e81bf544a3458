"""The classes that the annotations of mapped classes name."""

from dataclasses import dataclass
from typing import Generic, TypedDict, TypeVar

from sqlalchemy import PickleType
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit.repository import adapter_for
from layerkit.repository.stores.documents import classes_of


@dataclass
class Place:
    street: str


@dataclass
class Owner:
    name: str


class Base(DeclarativeBase): ...


class Owned:
    owner: Mapped[Owner] = mapped_column(PickleType)


class Shop(Owned, Base):
    __tablename__ = "shops"
    id: Mapped[int] = mapped_column(primary_key=True)
    places: Mapped[list[Place]] = mapped_column(PickleType)


def test_classes_of_a_mapped_class_are_those_of_its_and_its_mixins_annotations() -> (
    None
):
    assert classes_of(adapter_for(Shop)) == {"Place": Place, "Owner": Owner}


class Named(TypedDict):
    place: Place


B = TypeVar("B", bound=Owner)


@dataclass
class Pair(Generic[B]):
    first: B


@dataclass
class Street:
    named: Named
    pair: Pair  # type: ignore[type-arg] # its bound says of what
    id: int


def test_classes_inside_of_a_typed_dict_and_of_a_bound_are_found() -> None:
    assert {"Place", "Owner"} <= classes_of(adapter_for(Street)).keys()
