"""No secret that a request, a setting or an error holds gets out by an error's answer.

Three kinds of secrets are told apart. What clients and settings bring in (bodies,
headers, queries, SQL parameters, addresses) is shown neither in an answer nor in a log.
What unknown errors and mistakes in code say is for developers: it is in the log, in the
traceback or as the text of a UsageError, and never in an answer.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Annotated, Any, Literal

import httpx
import pytest
from fastapi import FastAPI, Header, HTTPException, Query
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, field_validator
from sqlalchemy import text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from typing_extensions import override

from layerkit import (
    AppException,
    BaseSchema,
    BaseService,
    ConflictError,
    InMemoryEventBus,
    NotFoundError,
    Repository,
    UnavailableError,
    UsageError,
    field,
)
from layerkit.core import JSONFormatter
from layerkit.fastapi import app_exception_handler, install
from layerkit.settings import Settings
from layerkit.sql import Database
from tests.support.profiles import examples

pytestmark = pytest.mark.unmeasured

MARK = "hunter2"
EXAMPLES = examples(300, full=1_000)


class Base(DeclarativeBase): ...


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    age: Mapped[int] = mapped_column(default=0)


class Lost(Base):
    __tablename__ = "lost"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]


class Users(Repository[User, int]): ...


class LostUsers(Repository[Lost, int]): ...


class UserService(BaseService[User, int]):
    @override
    async def _post_create_actions(self, entity: User) -> None:
        self.after_commit(partial(fail, entity.email))


class Card(BaseModel):
    kind: Literal["card"]
    number: Annotated[int, Field(gt=0)]


class Cash(BaseModel):
    kind: Literal["cash"]
    coins: list[int]


class Form(BaseSchema):
    age: int = 0
    pay: Card | Cash | None = None
    tagged: Annotated[Card | Cash, Field(discriminator="kind")] | None = None
    notes: dict[str, Annotated[str, Field(max_length=3)]] | None = None
    password: SecretStr | None = None
    word: Annotated[str, Field(pattern="^a*$")] = ""
    checked: str = ""

    @field_validator("checked")
    @classmethod
    def check(cls, value: str) -> str:
        if value:
            raise ValueError(f"{value!r} is not allowed")
        return value


def fail(secret: str) -> None:
    assert secret
    raise RuntimeError("the hook failed")


def nested(secret: str) -> BaseException:
    inner = ExceptionGroup(secret, [OSError(7, secret), KeyError(secret)])
    inner.add_note(secret)
    return inner


# Each raises an error that holds the secret in another place.
UNKNOWN: dict[str, Callable[[str], BaseException]] = {
    "message": RuntimeError,
    "arguments": lambda secret: ValueError(1, {"secret": secret}, [secret]),
    "key": KeyError,
    "os": lambda secret: FileNotFoundError(2, "no such file", secret),
    "group": nested,
    "unicode": lambda secret: UnicodeEncodeError("ascii", secret, 0, 1, secret),
    "attribute": lambda secret: AttributeError(secret, name=secret, obj=secret),
    "usage": UsageError,
    "wrapped": lambda secret: caused(AppException("It failed"), secret),
    "not found": lambda secret: caused(NotFoundError(), secret),
    "unavailable": lambda secret: caused(UnavailableError(), secret),
    "constraint": lambda secret: ConflictError("taken", constraint=secret),
    "http": lambda secret: caused(HTTPException(503, "Later"), secret),
}


def caused(error: Exception, secret: str) -> Exception:
    error.__cause__ = RuntimeError(secret)
    error.__context__ = ValueError(secret)
    return error


async def refuse(users: Users, secret: str) -> None:
    await users.create(User(email=secret))
    await users.create(User(email=secret))


async def misfit(users: Users, secret: str) -> None:
    await users.create({"email": "a", "age": secret})


async def lost(users: Users, secret: str) -> None:
    await LostUsers(users.home).find(field("email") == secret)


async def lost_write(users: Users, secret: str) -> None:
    await LostUsers(users.home).create(Lost(email=secret))


async def by_hand(users: Users, secret: str) -> None:
    assert isinstance(users.home, Database)
    async with users.home.engine.connect() as connection:
        await connection.execute(text("SELECT :s FROM nowhere"), {"s": secret})


async def hook(users: Users, secret: str) -> None:
    await UserService(users).create_entity({"email": secret})
    raise NotFoundError


async def handler(_: Users, secret: str) -> None:
    bus = InMemoryEventBus()

    async def broken(event: object) -> None:
        assert event
        raise RuntimeError("the handler failed")

    bus.subscribe("user.created", partial(broken))
    await bus.publish(event_of(secret))
    raise NotFoundError


async def executed(users: Users, secret: str) -> None:
    await UserService(users).safe_execute(partial(fail, secret))


async def model(_: Users, secret: str) -> None:
    Form.model_validate({"age": secret, "pay": {"kind": secret}})


async def address(_: Users, secret: str) -> None:
    Database(f"nothing://app:{secret}@{secret}/x")


async def configuration(_: Users, secret: str) -> None:
    Settings(SECRET_KEY=secret, DATABASE_URL=secret, DEBUG=secret, _env_file=None)


# Each does something with what a client or a setting brought in, and fails.
PATHS = {
    path.__name__: path for path in (refuse, misfit, lost, lost_write, by_hand, hook)
} | {path.__name__: path for path in (handler, executed, model, address, configuration)}


def event_of(secret: str) -> Any:
    from layerkit import Event

    return Event(event_type="user.created", data={"secret": secret}, source="test")


class Kept(logging.Handler):
    """Keep what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@asynccontextmanager
async def application(renderer: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    install(app, validation="problem", **({"renderer": renderer} if renderer else {}))
    async with Database("sqlite://") as database:
        await database.create_all(Base.metadata)
        async with database.engine.begin() as connection:
            await connection.execute(text("DROP TABLE lost"))

        @app.post("/form")
        async def form(
            body: Form,
            limit: Annotated[int, Query()] = 1,
            x_level: Annotated[int, Header()] = 1,
        ) -> None:
            assert body.age + limit + x_level

        @app.post("/raise/{kind}")
        async def raise_unknown(kind: str, body: list[str]) -> None:
            raise UNKNOWN[kind](body[0])

        @app.post("/path/{name}")
        async def follow(name: str, body: list[str]) -> None:
            await PATHS[name](Users(database), body[0])

        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test"
        ) as client:
            yield client


@pytest.fixture
def logged() -> Kept:
    return Kept()


@contextmanager
def alone(kept: Kept) -> Iterator[None]:
    """Let *kept* have all records, and no other handler spend time on them."""
    root, client = logging.getLogger(), logging.getLogger("httpx")
    handlers, level = root.handlers, root.level
    root.handlers = [kept]
    root.setLevel(logging.INFO)
    client.setLevel(logging.WARNING)
    yield
    client.setLevel(logging.NOTSET)
    root.setLevel(level)
    root.handlers = handlers


@pytest.fixture(scope="module")
def clients() -> Iterator[tuple[asyncio.Runner, list[httpx.AsyncClient]]]:
    """A client of each kind of application: problems, and the textbook's envelope."""
    with asyncio.Runner() as runner:
        stacks = [application(None), application(app_exception_handler)]
        yield runner, [runner.run(stack.__aenter__()) for stack in stacks]
        for stack in reversed(stacks):
            runner.run(stack.__aexit__(None, None, None))


def holding(secret: str) -> st.SearchStrategy[Any]:
    """Return values of any shape with the secret in them, never as a name."""
    return st.recursive(
        st.sampled_from([secret, [secret], f"a{secret}", {"kind": secret}]),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=2),
            st.fixed_dictionaries({}, optional={"kind": inner, "number": inner}).filter(
                bool
            ),
        ),
        max_leaves=3,
    )


NAMES = ("age", "pay", "tagged", "notes", "password", "word", "checked", "other")
SECRETS = st.tuples(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    st.sampled_from(["", " ", "'", '"', "@db/x", "\n", "&a=1", "://u:p@h"]),
).map("".join)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any], bool]:
    """Return a path, what is sent there, and whether developers may see the secret."""
    around = draw(SECRETS)
    secret = f"{around}{MARK}{around[::-1]}"
    kind = draw(st.sampled_from(["unknown", "path", "path", "form", "form", "garbage"]))
    if kind == "unknown":
        name = draw(st.sampled_from(sorted(UNKNOWN)))
        return f"/raise/{name}", {"json": [secret]}, True
    if kind == "path":
        return (
            f"/path/{draw(st.sampled_from(sorted(PATHS)))}",
            {"json": [secret]},
            False,
        )
    if kind == "garbage":
        content = draw(st.sampled_from(["{", '{"a":', "", '"', "[1,"])) + secret
        headers = {"content-type": "application/json", "x-request-id": f"{MARK} \t"}
        return "/form", {"content": content.encode(), "headers": headers}, False
    body = draw(st.dictionaries(st.sampled_from(NAMES), holding(secret), max_size=3))
    sent = {"json": body, "params": {"limit": secret}, "headers": {"x-level": MARK}}
    return "/form", sent, False


@pytest.mark.defect("F16", "F17")
@pytest.mark.timeout(300)  # up to a thousand requests
def test_no_secret_gets_out_by_an_error(
    clients: tuple[asyncio.Runner, list[httpx.AsyncClient]], logged: Kept
) -> None:
    runner, both = clients

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(request=requests(), which=st.sampled_from(both))
    def check(
        request: tuple[str, dict[str, Any], bool], which: httpx.AsyncClient
    ) -> None:
        path, sent, is_for_developers = request
        logged.records.clear()

        answer = runner.run(_post(which, path, sent))

        assert 400 <= answer.status_code < 600, answer.text
        assert MARK not in shown(answer)
        assert logged.records
        for record in logged.records:
            check_record(record, is_for_developers=is_for_developers)

    with alone(logged):
        check()


async def _post(
    client: httpx.AsyncClient, path: str, sent: dict[str, Any]
) -> httpx.Response:
    return await client.post(path, **sent)


def shown(answer: httpx.Response) -> str:
    return json.dumps(answer.json(), ensure_ascii=False) + repr(answer.headers.raw)


def check_record(record: logging.LogRecord, *, is_for_developers: bool) -> None:
    """Look for the secret where handlers of any kind may find it."""
    line = json.loads(JSONFormatter().format(record))
    plain = logging.Formatter().format(record)
    if is_for_developers:
        # Its own text is a UsageError's message, or the traceback of what is unknown.
        line.pop("exception", None)
        is_ours = isinstance(record.args, tuple) and any(
            isinstance(argument, UsageError) for argument in record.args
        )
        assert is_ours or MARK not in record.getMessage()
        assert is_ours or MARK not in str(line)
    else:
        extras = {n: v for n, v in vars(record).items() if n != "exc_info"}
        assert MARK not in plain
        assert MARK not in str(line)
        assert MARK not in repr(extras)
