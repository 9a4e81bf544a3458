"""The check of the whole wiring, and which provider fills which parameter."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Annotated, Generic, NewType, Protocol, TypeVar

import pytest
from fastapi import BackgroundTasks, FastAPI, Request, Response, WebSocket
from pydantic import BaseModel
from starlette.requests import HTTPConnection
from typing_extensions import override

from layerkit.core import UsageError, WiringError
from layerkit.factory import Need, ServiceFactory, describe
from layerkit.factory.keys import implements
from layerkit.notifications import NotificationService
from layerkit.realtime import RealtimeService
from layerkit.repository import Home, MemoryDatabase, Repository, SessionSource
from layerkit.service import BaseService

T = TypeVar("T")


class Mail(ABC):
    @abstractmethod
    def send(self) -> None: ...


class SMTPMail(Mail):
    @override
    def send(self) -> None: ...


class Bell(Protocol):
    def ring(self) -> None: ...


class IronBell(Bell):
    @override
    def ring(self) -> None: ...


class Session:
    pass


class UserService:
    def __init__(self, mail: Mail) -> None:
        self.mail = mail


def problems_of(factory: ServiceFactory) -> tuple[str, ...]:
    with pytest.raises(WiringError) as caught:
        factory.check()
    return caught.value.problems


async def take(factory: ServiceFactory, key: type[T]) -> T:
    async with factory, factory.scope() as scope:
        return await scope.get(key)


# Problems


def test_a_missing_need_names_who_needs_it_and_what_to_do() -> None:
    assert problems_of(ServiceFactory().scoped(UserService)) == (
        "UserService needs Mail (parameter mail): nothing provides it; "
        "add factory.singleton(...)",
    )


@pytest.mark.parametrize(
    "cls", [Request, HTTPConnection, WebSocket, Response, BackgroundTasks]
)
def test_what_comes_with_a_request_is_announced(cls: type[object]) -> None:
    def tenant(source: object) -> SMTPMail:
        assert source
        return SMTPMail()

    tenant.__annotations__["source"] = cls | None

    assert problems_of(ServiceFactory().scoped(tenant)) == (
        f"SMTPMail needs {cls.__name__} | None (parameter source): it comes with each "
        f"request; add factory.given({cls.__name__})",
    )
    ServiceFactory().scoped(tenant).given(cls).check()


class _Namesake:
    """What the application itself calls a request."""


_Namesake.__name__ = "Request"


@pytest.mark.parametrize("cls", [FastAPI, _Namesake])
def test_what_a_framework_does_not_make_for_each_request_is_provided(
    cls: type[object],
) -> None:
    def tenant(source: object) -> SMTPMail:
        assert source
        return SMTPMail()

    tenant.__annotations__["source"] = cls

    [problem] = problems_of(ServiceFactory().scoped(tenant))

    assert problem.endswith("nothing provides it; add factory.singleton(...)")


def test_a_missing_need_points_at_an_implementation_under_its_own_class() -> None:
    factory = ServiceFactory().singleton(SMTPMail).scoped(UserService)

    assert problems_of(factory) == (
        "UserService needs Mail (parameter mail): nothing provides it; "
        "SMTPMail is one: register it with key=Mail",
    )


class Orders(Repository[Session, int]): ...


class Billing(BaseService[Session, int]): ...


@pytest.mark.parametrize(
    ("wanted", "lifetime"),
    [
        (Orders, "scoped"),
        (Billing, "scoped"),
        (UserService, "scoped"),
        (NotificationService, "singleton"),
        (RealtimeService, "singleton"),
    ],
)
def test_a_missing_repository_or_service_is_to_be_scoped_where_it_is_as_a_rule(
    wanted: type, lifetime: str
) -> None:
    def make_session(_: object) -> Session:
        return Session()

    make_session.__annotations__["_"] = wanted

    assert problems_of(ServiceFactory().scoped(make_session)) == (
        f"Session needs {describe(wanted)} (parameter _): nothing provides it; "
        f"add factory.{lifetime}(...)",
    )


class Hen:
    def __init__(self, egg: "Egg") -> None:
        self.egg = egg


class Egg:
    def __init__(self, hen: Hen) -> None:
        self.hen = hen


class Narcissus:
    def __init__(self, other: "Narcissus") -> None:
        self.other = other


def test_a_circle_is_named_step_by_step() -> None:
    assert problems_of(ServiceFactory().scoped(Hen).scoped(Egg).scoped(Narcissus)) == (
        "Hen needs Egg needs Hen: a circle; let one of them take what it needs when "
        "it is called",
        "Narcissus needs Narcissus: a circle; let one of them take what it needs when "
        "it is called",
    )


@pytest.mark.defect("F9")
def test_a_singleton_may_not_keep_a_scoped_object() -> None:
    class Cache:
        def __init__(self, session: Session) -> None: ...

    factory = ServiceFactory().scoped(Session).singleton(Cache)

    assert problems_of(factory)[0].startswith(
        "Cache (singleton) needs Session (scoped): a singleton would keep one scope's"
    )


@pytest.mark.defect("F9")
def test_a_singleton_may_not_keep_a_scoped_object_through_transients() -> None:
    class Reader:
        def __init__(self, session: Session) -> None: ...

    class Cache:
        def __init__(self, reader: Reader) -> None: ...

    factory = ServiceFactory().given(Session).transient(Reader).singleton(Cache)

    assert problems_of(factory)[0].startswith(
        "Cache (singleton) needs Reader (transient) needs Session (given to each scope)"
    )


async def test_a_singleton_may_need_a_transient_without_scoped_needs() -> None:
    class Clock: ...

    class Cache:
        def __init__(self, clock: Clock) -> None:
            self.clock = clock

    cache = await take(ServiceFactory().transient(Clock).singleton(Cache), Cache)

    assert isinstance(cache.clock, Clock)


def test_a_circle_of_transients_under_a_singleton_is_reported() -> None:
    class Root:
        def __init__(self, hen: Hen) -> None: ...

    factory = ServiceFactory().transient(Hen).transient(Egg).singleton(Root)

    assert "Hen needs Egg needs Hen" in problems_of(factory)[0]


def test_a_key_that_is_registered_twice_is_reported() -> None:
    factory = ServiceFactory().scoped(Session).singleton(Session)

    assert problems_of(factory) == (
        "Session is registered twice: keep one, or give the other a key= of its own",
    )


@pytest.mark.defect("F10")
async def test_all_problems_are_listed_at_once_and_nothing_is_made() -> None:
    made: list[str] = []

    def make_session() -> Session:
        made.append("session")
        return Session()

    factory = ServiceFactory().singleton(make_session).scoped(Hen).scoped(Egg)
    factory.scoped(UserService).scoped(Session)

    with pytest.raises(WiringError) as caught:
        await factory.__aenter__()

    assert len(caught.value.problems) == 3
    assert caught.value.message.startswith("the wiring has 3 problems:\n  - ")
    assert made == []


def no_hint():  # type: ignore[no-untyped-def] # that is the point
    return Session()


def unannotated(_session) -> Session:  # type: ignore[no-untyped-def] # that is the point
    return Session()


def unresolved(_session: "Nowhere") -> Session:  # type: ignore[name-defined] # noqa: F821 - that is the point
    return Session()


def optional() -> Session | None:
    return None


def positional(_session: Session, /) -> UserService:
    return UserService(SMTPMail())


@pytest.mark.parametrize(
    ("make", "key", "problem"),
    [
        (no_hint, None, "no_hint does not say what it returns: annotate it, or give"),
        (unannotated, None, "parameter _session of unannotated has no annotation"),
        (unresolved, None, "unresolved has an annotation that can't be resolved"),
        (optional, None, "Session | None is several types: name one with key="),
        (positional, None, "parameter _session of positional is positional only"),
        (Mail, None, "Mail is abstract: register an implementation with key=Mail"),
        (Bell, None, "Bell is abstract: register an implementation with key=Bell"),
        (Session, Mail, "Session is registered as Mail, and is no subclass of it"),
        (dict, None, "dict can't be inspected"),
        (lambda: "x", str, "str would fit too many parameters"),
        (lambda: ["x"], list[str], "list[str] would fit too many parameters"),
        (lambda: "x", "name", "'name' is not a type: give one with key="),
        (Session, Annotated[Session, []], "typing.Annotated[tests"),
    ],
)
def test_what_cannot_be_registered_is_reported_with_the_reason(
    make: Callable[..., object], key: Hashable, problem: str
) -> None:
    factory = ServiceFactory().singleton(make, key=key)

    assert problems_of(factory)[0].startswith(problem)


def test_a_value_of_a_common_class_needs_a_key() -> None:
    assert problems_of(ServiceFactory().value("sqlite://"))[0].startswith(
        "str would fit too many parameters: make a type of your own"
    )


def test_what_others_ask_for_is_checked_with_the_rest() -> None:
    factory = ServiceFactory().scoped(UserService).scoped(Session)
    needs = [
        Need("GET /mail", Mail, "mail"),
        Need("GET /mails", Mail),
        Need("websocket /live", Session, "session", shared_only=True),
        Need("websocket /live", ServiceFactory, "factory", shared_only=True),
    ]

    with pytest.raises(WiringError) as caught:
        factory.check(needs)

    assert caught.value.problems[1:] == (
        "GET /mail needs Mail (parameter mail): nothing provides it; "
        "add factory.singleton(...)",
        "GET /mails needs Mail: nothing provides it; add factory.singleton(...)",
        "websocket /live needs Session, which is scoped: only values and singletons "
        "can be had there; inject ServiceFactory and open a `factory.scope()`",
    )


# Choices


async def test_an_implementation_is_found_under_its_interface() -> None:
    factory = ServiceFactory().singleton(SMTPMail, key=Mail).scoped(UserService)
    factory.value(IronBell(), key=Bell)

    assert isinstance((await take(factory, UserService)).mail, SMTPMail)
    async with factory, factory.scope() as scope:
        bell = await scope.get(Bell)
        bell.ring()


async def test_a_parameter_with_a_default_is_filled_when_its_key_is_registered() -> (
    None
):
    class Service:
        def __init__(self, mail: Mail | None = None, retries: int = 3) -> None:
            self.mail, self.retries = mail, retries

    without = await take(ServiceFactory().scoped(Service), Service)
    factory = ServiceFactory().scoped(Service).singleton(SMTPMail, key=Mail)

    assert without.mail is None
    assert (await take(factory, Service)).mail is not None
    assert without.retries == 3


async def test_parameters_that_take_many_and_bare_defaults_are_left_alone() -> None:
    class Service:
        def __init__(self, *args: Mail, flag=True, **kwargs: Mail) -> None:  # type: ignore[no-untyped-def] # that is the point
            self.given = args, flag, kwargs

    factory = ServiceFactory().singleton(SMTPMail, key=Mail).scoped(Service)

    assert (await take(factory, Service)).given == ((), True, {})


async def test_a_union_takes_the_one_member_that_is_registered() -> None:
    class Service:
        def __init__(self, source: Mail | Session | None) -> None:
            self.source = source

    factory = ServiceFactory().scoped(Service).scoped(Session)
    assert isinstance((await take(factory, Service)).source, Session)

    factory.singleton(SMTPMail, key=Mail)
    assert problems_of(factory) == (
        "Service needs Mail | Session | None (parameter source): Mail, Session all "
        "fit; annotate the one to take",
    )


Primary = Annotated[Session, "primary"]


class Reports:
    def __init__(self, session: Primary) -> None:
        self.session = session


async def test_an_annotated_type_is_a_key_of_its_own_or_the_type_in_it() -> None:
    primary, plain = Session(), Session()
    factory = ServiceFactory().scoped(Reports).value(plain)

    assert (await take(factory, Reports)).session is plain
    factory.value(primary, key=Primary)
    assert (await take(factory, Reports)).session is primary
    factory = ServiceFactory().scoped(Session, key=Primary).scoped(Reports)
    assert isinstance((await take(factory, Reports)).session, Session)


async def test_an_annotation_without_a_hash_stands_for_the_type_in_it() -> None:
    class Service:
        def __init__(
            self, session: Annotated[Session, []], size: Annotated[int, []] = 3
        ) -> None:
            self.session, self.size = session, size

    service = await take(ServiceFactory().scoped(Session).scoped(Service), Service)

    assert isinstance(service.session, Session)
    assert service.size == 3


def test_who_needs_a_broken_provider_is_not_reported_beside_it() -> None:
    class Broken:
        def __init__(self, session) -> None:  # type: ignore[no-untyped-def] # that is the point
            self.session = session

    class Service:
        def __init__(self, broken: Broken) -> None:
            self.broken = broken

    assert problems_of(ServiceFactory().scoped(Broken).scoped(Service)) == (
        "parameter session of Broken has no annotation: say its type",
    )


async def test_a_new_type_distinguishes_values_of_one_class() -> None:
    class Service:
        def __init__(self, dsn: Dsn) -> None:
            self.dsn = dsn

    factory = ServiceFactory().value("sqlite://", key=Dsn).scoped(Service)

    assert (await take(factory, Service)).dsn == "sqlite://"


Dsn = NewType("Dsn", str)


# Constructors that are inherited, and their type variables


class User:
    pass


class Order:
    pass


class Store(Generic[T]):
    """A generic base whose constructor its subclasses inherit."""

    def __init__(self, rows: "Rows[T]", more: "list[Rows[T]] | None" = None) -> None:
        self.rows, self.more = rows, more


class Rows(Generic[T]):
    pass


class UserRows(Rows[User]):
    pass


class OrderRows(Rows[Order]):
    pass


class Middle(Store[T]):
    pass


class UserStore(Middle[User]):
    pass


async def test_an_inherited_constructor_has_its_type_variables_filled_in() -> None:
    factory = ServiceFactory().scoped(UserStore)
    factory.value(UserRows(), key=Rows[User]).value(OrderRows(), key=Rows[Order])

    assert isinstance((await take(factory, UserStore)).rows, UserRows)


async def test_a_parametrized_parameter_takes_the_one_class_derived_from_it() -> None:
    factory = ServiceFactory().scoped(UserStore).scoped(UserRows).scoped(OrderRows)

    assert isinstance((await take(factory, UserStore)).rows, UserRows)


def test_a_parametrized_parameter_with_two_derived_classes_asks_for_a_key() -> None:
    class OtherRows(Rows[User]):
        pass

    factory = ServiceFactory().scoped(UserStore).scoped(UserRows).scoped(OtherRows)

    assert problems_of(factory) == (
        "UserStore needs Rows[User] (parameter rows): UserRows, OtherRows all fit; "
        "register the one to take with key=Rows[User]",
    )


async def test_a_parametrized_class_can_be_registered_itself() -> None:
    factory = ServiceFactory().scoped(Store[Order]).scoped(OrderRows)

    assert isinstance((await take(factory, Store[Order])).rows, OrderRows)


class StrictUserService(UserService):
    pass


async def test_an_inherited_constructor_of_a_plain_class_is_used() -> None:
    factory = ServiceFactory().singleton(SMTPMail, key=Mail).scoped(StrictUserService)

    assert isinstance((await take(factory, StrictUserService)).mail, SMTPMail)


def bare_generator() -> Session:  # type: ignore[misc] # that is the point
    yield Session()


async def test_a_generator_that_says_only_what_it_yields_is_understood() -> None:
    factory = ServiceFactory().scoped(bare_generator)

    assert isinstance(await take(factory, Session), Session)


async def test_a_class_with_new_alone_is_made_by_it() -> None:
    class Token:
        session: Session

        def __new__(cls, session: Session) -> "Token":
            token = super().__new__(cls)
            token.session = session
            return token

    factory = ServiceFactory().scoped(Session).scoped(Token)

    assert isinstance((await take(factory, Token)).session, Session)


# Homes


class Reader:
    def __init__(self, home: Home | SessionSource) -> None:
        self.home = home


class AsyncSession:
    """Stands for SQLAlchemy's, which is told by its module."""


AsyncSession.__module__ = "sqlalchemy.ext.asyncio.session"


async def test_a_home_parameter_takes_the_one_home() -> None:
    database = MemoryDatabase()
    factory = ServiceFactory().value(database).scoped(Reader)

    assert (await take(factory, Reader)).home is database


async def test_a_home_parameter_takes_the_one_session() -> None:
    async def open_session() -> AsyncIterator[AsyncSession]:
        yield AsyncSession()

    factory = ServiceFactory().scoped(open_session).scoped(Reader)

    assert isinstance((await take(factory, Reader)).home, AsyncSession)


@pytest.mark.parametrize(
    ("name", "module"), [("AsyncSession", "mine"), ("AsyncEngine", "sqlalchemy.ext")]
)
def test_what_is_no_session_of_sqlalchemys_is_no_home(name: str, module: str) -> None:
    other = type(name, (), {"__module__": module})

    [problem] = problems_of(ServiceFactory().scoped(other).scoped(Reader))

    assert "nothing provides a home or session" in problem


async def test_a_home_can_be_asked_for_itself() -> None:
    made: list[MemoryDatabase] = []

    def make_database() -> MemoryDatabase:
        made.append(MemoryDatabase())
        return made[-1]

    factory = ServiceFactory().singleton(make_database)

    async with factory, factory.scope() as scope:
        assert await scope.get(Home) is await factory.get(Home)
        assert len(made) == 1


async def test_what_a_key_stands_for_is_made_where_it_is_not_there_yet() -> None:
    factory = ServiceFactory().scoped(UserRows)

    async with factory, factory.scope() as scope:
        assert await scope.get(Rows[User]) is await scope.get(UserRows)


def test_a_home_parameter_without_a_home_says_how_to_register_one() -> None:
    assert problems_of(ServiceFactory().scoped(Reader).value(1, key=Dsn)) == (
        f"Reader needs {describe(Home | SessionSource)} (parameter home): nothing "
        "provides a home or session; add factory.singleton(...) for a Database or "
        "MemoryDatabase, or give one of your own key=Home",
    )


async def test_a_home_parameter_with_two_homes_asks_for_a_key() -> None:
    database = MemoryDatabase()
    factory = ServiceFactory().value(database).scoped(AsyncSession).scoped(Reader)

    assert problems_of(factory)[0].endswith(
        "MemoryDatabase, AsyncSession all fit; register the one to take with key=Home"
    )

    factory.value(database, key=Home)
    assert (await take(factory, Reader)).home is database


class Account(BaseModel):
    id: int


class Accounts(Repository[Account, int]):
    pass


class AccountService(BaseService[Account, int]):
    pass


async def test_a_repository_and_a_service_without_constructors_are_wired() -> None:
    factory = ServiceFactory().value(MemoryDatabase())
    factory.scoped(Accounts).scoped(AccountService)

    assert isinstance((await take(factory, AccountService)).repository, Accounts)


# Names


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (Mail, "Mail"),
        (Rows[User], "Rows[User]"),
        (Mail | None, "Mail | None"),
        (Primary, "Session"),
        (Dsn, "Dsn"),
        (type(None), "None"),
        (no_hint, "no_hint"),
        (3, "3"),
    ],
)
def test_keys_are_described_as_people_write_them(key: object, name: str) -> None:
    assert describe(key) == name


def test_wiring_errors_are_usage_errors() -> None:
    with pytest.raises(UsageError):
        ServiceFactory().scoped(UserService).check()


def test_a_key_implements_neither_itself_nor_what_is_no_class() -> None:
    assert implements(bool, int)
    assert not implements(int, int)
    assert not implements("name", int)
    assert not implements(int, "name")
