"""The wiring as a picture."""

import re
from collections.abc import AsyncIterator

import pytest

from layerkit.core import WiringError
from layerkit.factory import ServiceFactory
from layerkit.repository import Repository


class Settings: ...


class Engine:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings


class Principal: ...


class Query:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine


class Service:
    def __init__(self, query: Query, principal: Principal) -> None:
        self.query = query
        self.principal = principal


class Worker:
    def __init__(self, factory: ServiceFactory) -> None:
        self.factory = factory


async def on_paid(event: str, service: Service, retries: int = 3) -> None: ...


def everything() -> ServiceFactory:
    factory = ServiceFactory().scoped(Service).value(Settings()).given(Principal)
    factory.transient(Query).singleton(Engine)
    factory.handler(on_paid)
    return factory


def test_kinds_are_distinguished_by_shape_and_class_in_order_of_registration() -> None:
    lines = [line.strip() for line in everything().graph().splitlines()]

    assert lines[:12] == [
        "flowchart TD",
        'p0("Service"):::scoped',
        'p1(["Settings"]):::value',
        'p2[/"Principal"/]:::given',
        'p3{{"Query"}}:::transient',
        'p4["Engine"]:::singleton',
        'h0[["on_paid"]]:::handler',
        "p0 --> p3",
        "p0 --> p2",
        "p3 --> p4",
        "p4 --> p1",
        "h0 --> p0",
    ]
    assert all(line.startswith("classDef ") for line in lines[12:])


def test_every_class_is_defined_and_every_arrow_joins_nodes() -> None:
    graph = everything().graph()

    nodes = re.findall(r"^ +(\w+)\W.*:::(\w+)$", graph, re.MULTILINE)
    defined = re.findall(r"^ +classDef (\w+) ", graph, re.MULTILINE)
    ends = {end for arrow in re.findall(r"(\w+) --> (\w+)", graph) for end in arrow}

    assert {kind for _, kind in nodes} == set(defined)
    assert ends <= {node for node, _ in nodes}


def test_the_same_wiring_gives_the_same_graph() -> None:
    assert everything().graph() == everything().graph()


def test_the_factory_is_shown_where_something_needs_it() -> None:
    assert "ServiceFactory" not in everything().graph()
    assert '"ServiceFactory"' in everything().singleton(Worker).graph()


def test_a_handler_that_needs_the_factory_alone_shows_it() -> None:
    async def sweep(factory: ServiceFactory) -> None: ...

    factory = ServiceFactory()
    factory.handler(sweep)

    assert "h0 --> p0" in factory.graph()


def test_signs_that_mean_something_to_mermaid_are_escaped() -> None:
    odd = type('A "quoted" <b>#1</b>\n& more', (), {})
    generic = Repository[Settings, int]

    graph = ServiceFactory().value(odd()).value(1, key=generic).graph()

    assert '(["A #quot;quoted#quot; #lt;b#gt;#35;1#lt;/b#gt; #amp; more"])' in graph
    assert '(["Repository[Settings, int]"])' in graph


async def test_an_open_factory_draws_its_overrides_as_values() -> None:
    async def open_settings() -> AsyncIterator[Settings]:
        yield Settings()

    factory = ServiceFactory().singleton(open_settings).singleton(Engine)

    async with factory:
        with factory.override({Engine: Engine(Settings())}):
            assert '(["Engine"]):::value' in factory.graph()
        assert '["Engine"]:::singleton' in factory.graph()


def test_a_broken_wiring_has_no_graph() -> None:
    with pytest.raises(WiringError, match="Engine needs Settings"):
        ServiceFactory().singleton(Engine).graph()
