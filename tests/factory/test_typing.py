"""What a type checker sees; mypy runs over this file."""

from abc import ABC, abstractmethod
from typing import Protocol, assert_type

import pytest
from typing_extensions import override

from layerkit.factory import ServiceFactory


class Port(Protocol):
    def call(self) -> int: ...


class Base(ABC):
    @abstractmethod
    def call(self) -> int: ...


class Thing(Base):
    @override
    def call(self) -> int:
        return 1


@pytest.mark.defect("F15")
async def test_get_is_typed_for_classes_protocols_and_abstract_classes() -> None:
    thing = Thing()
    factory = (
        ServiceFactory().value(thing).value(thing, key=Port).value(thing, key=Base)
    )

    async with factory, factory.scope() as scope:
        assert_type(await scope.get(Thing), Thing)
        assert_type(await scope.get(Port), Port)
        assert_type(await scope.get(Base), Base)
        assert_type(await factory.get(Thing), Thing)
        assert_type(await factory.get(Port), Port)
        assert (await scope.get(Port)).call() == (await factory.get(Base)).call()
