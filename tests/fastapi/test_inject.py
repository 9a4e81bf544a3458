"""Injection: one scope a request, closed before the answer is sent."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any, Protocol, assert_type, get_args

import anyio
import httpx
import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    FastAPI,
    HTTPException,
    Request,
    Response,
)
from fastapi.exceptions import FastAPIError
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from layerkit.core import ConflictError, UsageError, WiringError
from layerkit.factory import ServiceFactory
from layerkit.fastapi import Inject, install
from layerkit.fastapi.inject import Resolver
from tests.fastapi.conftest import Serve


class Session:
    """Write down what happens to the transaction, and fail at the commit if told to."""

    log: list[str]

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.commit_error: Exception | None = None

    async def commit(self) -> None:
        await asyncio.sleep(0)
        self.log.append("commit")
        if self.commit_error is not None:
            raise self.commit_error


class Service:
    def __init__(self, session: Session) -> None:
        self.session = session


class Port(Protocol):
    def name(self) -> str: ...


class Adapter:
    def name(self) -> str:
        return "adapter"


class Clock:
    pass


class World:
    """An application around one route, with a log of what happened in which order."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.factory = ServiceFactory().scoped(self.open_session).scoped(Service)
        self.factory.singleton(Adapter, key=Port).transient(Clock)
        self.app = FastAPI()
        install(self.app, self.factory)
        self.app.add_middleware(Watch, log=self.log)

    async def open_session(self) -> AsyncIterator[Session]:
        self.log.append("begin")
        session = Session(self.log)
        try:
            yield session
        except BaseException as error:
            self.log.append(f"rollback: {type(error).__name__}")
            raise
        else:
            await session.commit()


class Watch:
    """Note in the log when an answer is sent."""

    def __init__(self, app: Any, log: list[str]) -> None:
        self.app, self.log = app, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.log.append(f"sent {message['status']}")
            await send(message)

        await self.app(scope, receive, note)


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.defect("F1")
async def test_the_commit_comes_before_the_answer(world: World, serve: Serve) -> None:
    @world.app.post("/", status_code=201)
    async def create(service: Inject[Service]) -> str:
        service.session.log.append("work")
        return "done"

    async with serve(world.app) as client:
        answer = await client.post("/")

    assert answer.status_code == 201
    assert world.log == ["begin", "work", "commit", "sent 201"]


@pytest.mark.defect("F1")
@pytest.mark.parametrize(
    ("error", "status"), [(ConflictError("late"), 409), (OSError("gone"), 500)]
)
async def test_a_failing_commit_is_never_answered_with_success(
    world: World, serve: Serve, error: Exception, status: int
) -> None:
    @world.app.post("/", status_code=201)
    async def create(service: Inject[Service]) -> str:
        service.session.commit_error = error
        return "done"

    async with serve(world.app) as client:
        answer = await client.post("/")

    assert answer.status_code == status
    assert world.log == ["begin", "commit", f"sent {status}"]


@pytest.mark.parametrize("error", [ConflictError("taken"), HTTPException(409)])
async def test_an_error_in_the_route_rolls_back(
    world: World, serve: Serve, error: Exception
) -> None:
    @world.app.post("/")
    async def create(_: Inject[Service]) -> str:
        raise error

    async with serve(world.app) as client:
        answer = await client.post("/")

    assert answer.status_code == 409
    assert world.log == ["begin", f"rollback: {type(error).__name__}", "sent 409"]


async def test_invalid_input_rolls_back(world: World, serve: Serve) -> None:
    @world.app.post("/")
    async def create(_: Inject[Service], number: int) -> int:
        return number

    async with serve(world.app) as client:
        await client.post("/?number=x")

    assert world.log == ["begin", "rollback: RequestValidationError", "sent 422"]


async def test_an_answer_that_does_not_fit_its_model_rolls_back(
    world: World, serve: Serve
) -> None:
    @world.app.post("/", response_model=int)
    async def create(_: Inject[Service]) -> str:
        return "no number"

    async with serve(world.app) as client:
        answer = await client.post("/")

    assert answer.status_code == 500
    assert world.log[1:] == ["rollback: ResponseValidationError", "sent 500"]


async def test_all_parameters_of_a_request_share_one_scope(
    world: World, serve: Serve
) -> None:
    async def current_session(session: Inject[Session]) -> Session:
        return session

    @world.app.get("/")
    async def read(
        service: Inject[Service],
        session: Inject[Session],
        same: Annotated[Session, Depends(current_session)],
    ) -> bool:
        return service.session is session is same

    async with serve(world.app) as client:
        assert (await client.get("/")).json() is True
        assert (await client.get("/")).json() is True

    assert world.log.count("begin") == 2


async def test_two_parameters_get_transients_of_their_own(
    world: World, serve: Serve
) -> None:
    @world.app.get("/")
    async def read(one: Inject[Clock], other: Inject[Clock]) -> bool:
        return one is other

    async with serve(world.app) as client:
        assert (await client.get("/")).json() is False


@pytest.mark.defect("F15")
async def test_parameters_are_typed_for_classes_and_protocols(
    world: World, serve: Serve
) -> None:
    @world.app.get("/")
    def read(service: Inject[Service], port: Inject[Port]) -> str:
        assert_type(service, Service)
        assert_type(port, Port)
        return port.name()

    async with serve(world.app) as client:
        assert (await client.get("/")).json() == "adapter"
        paths = (await client.get("/openapi.json")).json()["paths"]

    assert paths["/"]["get"].get("parameters", []) == []


async def test_the_request_can_be_injected_where_it_is_announced(serve: Serve) -> None:
    class Visitor:
        def __init__(self, request: Request) -> None:
            self.agent = request.headers["user-agent"]

    app = FastAPI()
    install(app, ServiceFactory().given(Request).scoped(Visitor))

    @app.get("/")
    async def read(visitor: Inject[Visitor]) -> str:
        return visitor.agent

    async with serve(app) as client:
        answer = await client.get("/", headers={"user-agent": "ada"})

    assert answer.json() == "ada"


async def test_what_comes_with_a_request_can_be_injected(serve: Serve) -> None:
    log: list[str] = []

    class Visitor:
        def __init__(
            self, connection: HTTPConnection, response: Response, tasks: BackgroundTasks
        ) -> None:
            response.headers["X-Seen"] = connection.headers["user-agent"]
            tasks.add_task(log.append, "done")

    app, factory = FastAPI(), ServiceFactory().scoped(Visitor)
    install(app, factory.given(HTTPConnection).given(Response).given(BackgroundTasks))

    @app.get("/")
    async def read(visitor: Inject[Visitor]) -> bool:
        return isinstance(visitor, Visitor)

    async with serve(app) as client:
        answer = await client.get("/", headers={"user-agent": "ada"})

    assert (answer.json(), answer.headers["x-seen"]) == (True, "ada")
    assert log == ["done"]


async def test_a_generator_dependency_takes_injected_objects_in_function_scope(
    world: World, serve: Serve
) -> None:
    async def audited(service: Inject[Service]) -> AsyncIterator[Service]:
        yield service
        service.session.log.append("audited")

    @world.app.get("/")
    async def read(_: Annotated[Service, Depends(audited, scope="function")]) -> None:
        return None

    async with serve(world.app) as client:
        await client.get("/")

    assert world.log == ["begin", "audited", "commit", "sent 200"]


def test_a_generator_dependency_in_request_scope_is_refused_by_fastapi(
    world: World,
) -> None:
    async def audited(service: Inject[Service]) -> AsyncIterator[Service]:
        yield service

    async def read(_: Annotated[Service, Depends(audited)]) -> None: ...

    with pytest.raises(FastAPIError, match="cannot depend on dependencies with scope"):
        world.app.get("/")(read)


async def test_what_runs_after_the_answer_opens_a_scope_of_its_own(
    world: World, serve: Serve
) -> None:
    async def later(factory: ServiceFactory, name: str) -> None:
        async with factory.scope() as scope:
            (await scope.get(Service)).session.log.append(name)

    @world.app.get("/background")
    async def background(
        tasks: BackgroundTasks, factory: Inject[ServiceFactory]
    ) -> None:
        tasks.add_task(later, factory, "background")

    @world.app.get("/stream")
    async def stream(factory: Inject[ServiceFactory]) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            await later(factory, "stream")
            yield "line"

        return StreamingResponse(lines())

    async with serve(world.app) as client:
        await client.get("/background")
        await client.get("/stream")

    assert world.log == [
        *("sent 200", "begin", "background", "commit"),
        *("sent 200", "begin", "stream", "commit"),
    ]


async def test_an_override_of_the_factory_holds_for_requests(
    world: World, serve: Serve
) -> None:
    class Other:
        def name(self) -> str:
            return "other"

    @world.app.get("/")
    async def read(port: Inject[Port]) -> str:
        return port.name()

    async with serve(world.app) as client:
        with world.factory.override({Port: Other()}):
            assert (await client.get("/")).json() == "other"
        assert (await client.get("/")).json() == "adapter"


async def test_a_concurrent_request_has_a_scope_of_its_own(
    world: World, serve: Serve
) -> None:
    both = asyncio.Barrier(2)

    @world.app.get("/")
    async def read(session: Inject[Session]) -> int:
        await both.wait()
        return id(session)

    async with serve(world.app) as client:
        answers = await asyncio.gather(client.get("/"), client.get("/"))

    assert answers[0].json() != answers[1].json()


class Cut:
    """Cancel what is inside, as a server does that waits no longer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def note(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        with anyio.CancelScope() as cancelling:
            if scope["type"] == "http":
                scope["cut"] = cancelling.cancel
            await self.app(scope, receive, note)
        if cancelling.cancelled_caught and not has_begun:
            await Response("cut", 499)(scope, receive, send)


async def test_what_was_opened_is_closed_in_peace_when_the_request_is_cancelled(
    serve: Serve,
) -> None:
    log: list[str] = []

    async def open_session() -> AsyncIterator[Session]:
        async with anyio.create_task_group():  # which has a cancel scope of its own
            try:
                yield Session(log)
            finally:
                await asyncio.sleep(0)
                log.append("closed")

    async def around() -> AsyncIterator[None]:
        async with anyio.create_task_group():
            yield

    app = FastAPI()
    install(app, ServiceFactory().scoped(open_session))
    app.add_middleware(Cut)

    @app.get("/")
    async def read(
        request: Request,
        _before: Annotated[None, Depends(around, scope="function")],
        _session: Inject[Session],
        _after: Annotated[None, Depends(around, scope="function")],
    ) -> None:
        request.scope["cut"]()
        await asyncio.sleep(60)

    async with serve(app) as client:
        answer = await client.get("/")

    assert (answer.status_code, answer.text, log) == (499, "cut", ["closed"])


async def test_a_stream_is_cut_when_the_request_is_cancelled_after_its_scope(
    world: World, serve: Serve
) -> None:
    world.app.add_middleware(Cut)
    cut = asyncio.Event()

    async def stream(request: Request) -> AsyncIterator[bytes]:
        yield b"a"
        request.scope["cut"]()
        try:
            await asyncio.sleep(60)
        finally:
            cut.set()

    @world.app.get("/")
    async def read(request: Request, _: Inject[Session]) -> StreamingResponse:
        return StreamingResponse(stream(request))

    async with serve(world.app) as client:
        with pytest.raises(AssertionError):  # the client's: the answer has no end
            await client.get("/")

    assert cut.is_set()
    assert world.log[:2] == ["begin", "commit"]


async def test_a_route_class_that_tries_again_gets_a_scope_for_each_time(
    world: World, serve: Serve
) -> None:
    class Retrying(APIRoute):
        @override
        def get_route_handler(
            self,
        ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def twice(request: Request) -> Response:
                try:
                    return await handle(request)
                except ConflictError:
                    return await handle(request)

            return twice

    router = APIRouter(route_class=Retrying)
    seen: list[Session] = []

    @router.get("/")
    async def read(session: Inject[Session]) -> None:
        seen.append(session)
        if len(seen) == 1:
            raise ConflictError("lost a race")

    world.app.include_router(router)
    async with serve(world.app) as client:
        answer = await client.get("/")

    assert answer.status_code == 200
    assert len(set(map(id, seen))) == 2


def test_fastapi_fills_in_the_type_that_is_injected() -> None:
    """Pin what Inject rests on: FastAPI replaces a missing dependency by the type."""

    async def read(service: Inject[Service]) -> None: ...

    app = FastAPI()
    app.get("/")(read)
    route = next(r for r in app.routes if getattr(r, "path", None) == "/")
    [dependency] = route.dependant.dependencies  # type: ignore[attr-defined] # an APIRoute

    assert dependency.call == Resolver(Service)
    assert repr(dependency.call) == "Inject[Service]"
    assert get_args(Inject[Service])[0] is Service


# What is checked at start


def routes_of(router: FastAPI | APIRouter) -> None:
    @router.post("/users")
    async def create(service: Inject[Service]) -> None: ...


async def assert_start_fails(app: FastAPI, *problems: str) -> None:
    with pytest.raises(WiringError) as caught:
        await app.router.lifespan_context(app).__aenter__()
    assert caught.value.problems == problems


MISSING = "Service (parameter service): nothing provides it; add factory.scoped(...)"


async def test_a_route_that_injects_what_nobody_provides_fails_the_start() -> None:
    app = FastAPI()
    install(app, ServiceFactory())
    routes_of(app)

    await assert_start_fails(app, f"POST /users needs {MISSING}")


async def test_routes_of_included_routers_and_mounts_are_checked() -> None:
    app, mounted = FastAPI(), FastAPI()
    outer, inner = APIRouter(prefix="/outer"), APIRouter(prefix="/inner")
    routes_of(inner)
    routes_of(mounted)
    outer.include_router(inner)
    app.include_router(outer)
    app.mount("/sub", mounted)
    install(app, ServiceFactory())

    await assert_start_fails(
        app,
        f"POST /outer/inner/users needs {MISSING}",
        f"POST /sub/users needs {MISSING}",
    )


async def test_a_dependency_of_a_router_is_checked() -> None:
    async def guard(service: Inject[Service]) -> None: ...

    router = APIRouter()
    router.get("/")(lambda: None)
    app = FastAPI()
    app.include_router(router, dependencies=[Depends(guard)])
    install(app, ServiceFactory())

    await assert_start_fails(app, f"GET / needs {MISSING}")


async def test_a_mounted_application_with_its_own_factory_is_left_to_it() -> None:
    app, mounted = FastAPI(), FastAPI()
    routes_of(mounted)
    install(mounted, ServiceFactory())
    app.mount("/sub", mounted)
    install(app, ServiceFactory())

    async with app.router.lifespan_context(app):
        assert app.router.routes


async def test_a_mounted_application_with_an_install_of_its_own_is_checked() -> None:
    app, mounted = FastAPI(), FastAPI()
    routes_of(mounted)
    install(mounted)
    app.mount("/sub", mounted)
    install(app, ServiceFactory())

    await assert_start_fails(app, f"POST /sub/users needs {MISSING}")


async def test_a_mounted_application_gets_the_factory(
    world: World, serve: Serve
) -> None:
    mounted = FastAPI()

    @mounted.get("/")
    async def read(port: Inject[Port]) -> str:
        return port.name()

    world.app.mount("/sub", mounted)

    async with serve(world.app) as client:
        assert (await client.get("/sub/")).json() == "adapter"


async def test_injecting_without_a_factory_fails_the_start() -> None:
    app = FastAPI()
    install(app)
    routes_of(app)

    await assert_start_fails(
        app,
        "POST /users injects Service, and install(app) was given no factory: "
        "call install(app, factory)",
    )


async def test_injecting_without_install_says_what_to_do() -> None:
    app = FastAPI()
    routes_of(app)
    transport = httpx.ASGITransport(app=app)

    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        with pytest.raises(UsageError, match=r"call install\(app, factory\)"):
            await client.post("/users")


async def test_a_request_outside_the_lifespan_is_refused(world: World) -> None:
    routes_of(world.app)
    transport = httpx.ASGITransport(app=world.app)

    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.post("/users")).status_code == 500


async def test_a_request_goes_without_the_garbage_collector() -> None:
    seen: list[weakref.ref[Any]] = []
    app = FastAPI()
    factory = ServiceFactory().given(Request).scoped(Asked)

    @app.get("/")
    async def show(asked: Inject[Asked]) -> None:
        seen.extend((weakref.ref(asked), weakref.ref(asked.request)))

    install(app, factory)
    gc.disable()
    try:
        async with factory:
            await app(http_scope(), receive_nothing, drop)

        assert [gone() for gone in seen] == [None, None]
    finally:
        gc.enable()


class Asked:
    """Hold the request."""

    def __init__(self, request: Request) -> None:
        self.request = request


def http_scope() -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [],
        "state": {},
    }


async def receive_nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def drop(_: Message) -> None:
    """Send nowhere."""
