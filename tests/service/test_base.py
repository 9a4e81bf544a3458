"""BaseService: operations, hooks, events, and what stands or falls together."""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel
from typing_extensions import override

from layerkit.core.errors import (
    AlreadyExistsError,
    AppException,
    NotFoundError,
    NotSupportedError,
    StaleDataError,
    UnitOfWorkError,
    UsageError,
    ValidationError,
)
from layerkit.core.schemas import CreateSchema, UpdateSchema
from layerkit.events import Event, InMemoryEventBus
from layerkit.repository import (
    BaseRepository,
    InMemoryRepository,
    MemoryDatabase,
    Repository,
    Unique,
    field,
)
from layerkit.service import BaseService
from layerkit.sql import Database
from layerkit.testing import MockEventBus
from layerkit.unit_of_work import (
    EventSink,
    UnitOfWork,
    current_unit,
    plain_unit_of_work,
)
from tests.sql.conftest import make_tables
from tests.support.library import Author, Book


@dataclass
class User:
    name: Annotated[str, Unique()]
    email: str | None = None
    id: int | None = None


class UserCreate(CreateSchema):
    name: str
    email: str | None = None


class UserUpdate(UpdateSchema):
    name: str | None = None
    email: str | None = None


class PlannedError(Exception):
    """What a test raises."""


class Users(InMemoryRepository[User, int]):
    async def get_by_name(self, name: str) -> User | None:
        return await self.find_one(field("name") == name)


class UserService(BaseService[User, int]):
    """A service that records the order of its hooks, and may be told to fail in one."""

    entity_name = "user"

    def __init__(self, users: Users, **options: Any) -> None:
        super().__init__(users, **options)
        self.users = users
        self.bus, self.cache = "a user's own", "attributes"
        self.steps: list[str] = []
        self.fails_in: str | None = None

    async def step(self, name: str) -> None:
        unit = current_unit()
        self.steps.append(name if unit is not None else f"{name} outside")
        await asyncio.sleep(0)
        if self.fails_in == name:
            raise PlannedError

    @override
    async def _validate_create_data(self, data: Any) -> None:
        await self.step("validate")

    @override
    async def _post_create_actions(self, entity: User) -> None:
        assert entity.id is not None
        self.after_commit(lambda: self.steps.append("committed"))
        await self.step("post")

    @override
    async def _validate_update_data(self, entity_id: int, data: Any) -> None:
        await self.step("validate")

    @override
    async def _post_update_actions(self, entity: User) -> None:
        self.after_commit(lambda: self.steps.append("committed"))
        await self.step("post")

    @override
    async def _validate_delete(self, entity_id: int) -> None:
        await self.step("validate")

    @override
    async def _post_delete_actions(self, entity_id: int) -> None:
        self.after_commit(lambda: self.steps.append("committed"))
        await self.step("post")

    @override
    async def _apply_business_rules(self, entity: User) -> User:
        entity.email = "***"
        if current_unit() is not None:
            self.steps.append("masked inside")
        return entity


def make_service(**options: Any) -> UserService:
    return UserService(Users(), **options)


# Construction


def test_a_service_needs_a_repository() -> None:
    with pytest.raises(UsageError, match="UserService needs a repository, got None"):
        UserService(None)  # type: ignore[arg-type] # what is tested


@pytest.mark.parametrize("mistaken", [Users, MemoryDatabase()], ids=["class", "home"])
def test_neither_a_class_nor_a_home_is_a_repository(mistaken: Any) -> None:
    with pytest.raises(UsageError, match="UserService needs a repository, got <"):
        UserService(mistaken)


class Forgetful(BaseService[User, int]):
    def __init__(self, users: Users) -> None:
        self.users = users


@pytest.mark.parametrize(
    "need",
    [
        lambda service: service.create_entity({"name": "Ada"}),
        lambda service: service.get_entity(1),
        lambda service: service.unit_of_work(),
        lambda service: service.emit("news"),
        lambda service: service.logger,
    ],
    ids=["create", "get", "unit", "emit", "logger"],
)
async def test_a_constructor_that_has_forgotten_the_base_is_told_to_call_it(
    need: Callable[[BaseService[User, int]], Any],
) -> None:
    service = Forgetful(Users())

    with pytest.raises(UsageError, match=r"Forgetful .* super\(\).__init__\(reposit"):
        if inspect.isawaitable(needed := need(service)):
            await needed


def test_the_class_of_a_service_can_be_looked_into() -> None:
    assert "repository" in dict(inspect.getmembers(BaseService))


def test_events_need_an_entity_name() -> None:
    class Nameless(BaseService[User, int]):
        pass

    with pytest.raises(UsageError, match="Nameless has events= and no entity_name"):
        Nameless(Users(), events=InMemoryEventBus())
    assert Nameless(Users()).entity_name is None


def test_the_logger_is_named_after_the_class(caplog: pytest.LogCaptureFixture) -> None:
    service = make_service()

    with caplog.at_level(logging.INFO):
        service.logger.info("hello")

    assert [record.name for record in caplog.records] == ["UserService"]
    assert service.repository is service.users


def test_every_other_attribute_of_the_base_is_underscored() -> None:
    public = {
        "after_commit", "create_entity", "delete_entity", "emit", "entity_name",
        "get_entity", "list_entities", "logger", "repository", "safe_execute",
        "unit_of_work", "update_entity",
    }  # fmt: skip
    service: BaseService[User, int] = BaseService(Users())

    assert {name for name in dir(service) if not name.startswith("_")} == public


# Hooks that name a schema


class NamedUsers(UserService):
    """A service whose hooks say which schema they take."""

    given: object = None

    @override
    async def _validate_create_data(self, data: UserCreate) -> None:
        self.given = data

    @override
    async def _validate_update_data(self, entity_id: int, data: UserUpdate) -> None:
        self.given = data


async def test_a_hook_that_names_a_schema_gets_a_mapping_as_that_schema() -> None:
    service = NamedUsers(Users())

    created = await service.create_entity({"name": "Ada"})
    asked = service.given
    changed = await service.update_entity(1, {"email": "a@x"})

    assert (created.name, asked) == ("Ada", UserCreate(name="Ada"))
    assert (changed.name, changed.email) == ("Ada", "a@x")
    assert service.given == UserUpdate(email="a@x")


async def test_a_hook_that_names_a_schema_gets_anything_else_as_it_is() -> None:
    service = NamedUsers(Users())
    ada = User("Ada")

    await service.create_entity(ada)

    assert service.given is ada


@pytest.mark.parametrize(
    "data", [{}, {"name": 1}, {"name": "s3cret", "age": 1}], ids=str
)
async def test_a_mapping_that_the_named_schema_refuses_is_a_validation_error(
    data: dict[str, Any],
) -> None:
    service = NamedUsers(Users())

    with pytest.raises(ValidationError, match="a UserCreate can't be made") as refused:
        await service.create_entity(data)

    assert refused.value.detail["errors"]
    assert "s3cret" not in str(refused.value.detail)
    assert await service.users.count() == 0


async def test_a_schema_that_can_not_be_found_by_its_name_is_not_asked_for() -> None:
    class Strange(UserService):
        given: object = None

        @override
        async def _validate_create_data(self, data: "Nowhere") -> None:  # type: ignore[name-defined] # noqa: F821 - what is tested
            self.given = data

    service = Strange(Users())

    await service.create_entity({"name": "Ada"})

    assert service.given == {"name": "Ada"}


# Operations


@pytest.mark.parametrize(
    "data",
    [
        User("Ada", "a@x"),
        UserCreate(name="Ada", email="a@x"),
        {"name": "Ada", "email": "a@x"},
    ],
    ids=lambda data: type(data).__name__,
)
async def test_create_takes_an_entity_a_schema_or_a_mapping(data: Any) -> None:
    service = make_service()

    created = await service.create_entity(data)

    assert created == User("Ada", "a@x", 1)
    assert await service.users.get_by_id(1) == created


@pytest.mark.parametrize(
    "data", [UserUpdate(name="Eve"), {"name": "Eve"}], ids=["schema", "mapping"]
)
async def test_update_changes_what_is_given(data: Any) -> None:
    service = make_service()
    await service.create_entity({"name": "Ada", "email": "a@x"})

    updated = await service.update_entity(1, data)

    assert updated == User("Eve", "a@x", 1)
    assert await service.users.get_by_id(1) == updated


@pytest.mark.parametrize("data", [None, [1], "name"])
async def test_an_update_from_neither_schema_nor_mapping_is_refused(data: Any) -> None:
    service = UserService(Users())
    user = await service.create_entity(User("ada@example.org"))

    with pytest.raises(UsageError, match="a schema or a mapping"):
        await service.update_entity(user.id or 0, data)


async def test_delete_removes_and_returns_nothing() -> None:
    service = make_service()
    await service.create_entity({"name": "Ada"})

    await service.delete_entity(1)

    assert await service.users.count() == 0


async def test_what_is_absent_is_not_found_with_its_class_and_id() -> None:
    service = make_service()

    for call in (
        service.get_entity(7),
        service.update_entity(7, {"name": "x"}),
        service.delete_entity(7),
    ):
        with pytest.raises(NotFoundError, match="no User with id 7") as missing:
            await call
        assert missing.value.detail == {"entity": "User", "id": 7}
    assert "post" not in service.steps


async def test_list_goes_by_key_with_skip_and_limit() -> None:
    service = make_service()
    for name in "abc":
        await service.create_entity({"name": name})

    assert [user.name for user in await service.list_entities()] == ["a", "b", "c"]
    assert [user.name for user in await service.list_entities(1, 1)] == ["b"]
    with pytest.raises(UsageError):
        await service.list_entities(limit=0)


async def test_get_and_list_show_what_the_business_rules_leave() -> None:
    service = make_service()
    await service.create_entity({"name": "Ada", "email": "a@x"})

    got = await service.get_entity(1)
    listed = await service.list_entities()

    assert (got.email, listed[0].email) == ("***", "***")


# Hooks


async def test_hooks_run_in_their_order_inside_the_unit() -> None:
    service = make_service()

    await service.create_entity({"name": "Ada"})
    await service.update_entity(1, {"name": "Eve"})
    await service.delete_entity(1)

    assert service.steps == ["validate", "post", "committed"] * 3


@pytest.mark.parametrize("fails_in", ["validate", "post"])
async def test_a_failing_hook_undoes_the_write_and_drops_what_waits(
    fails_in: str,
) -> None:
    bus = MockEventBus()
    service = make_service(events=bus)
    await service.users.create({"name": "Ada"})
    service.fails_in = fails_in

    for call in (
        service.create_entity({"name": "Bob"}),
        service.update_entity(1, {"name": "Eve"}),
        service.delete_entity(1),
    ):
        with pytest.raises(PlannedError):
            await call

    assert [user.name for user in await service.users.get_all()] == ["Ada"]
    assert "committed" not in service.steps
    bus.assert_nothing_published()


async def test_a_refused_write_runs_no_post_actions() -> None:
    service = make_service()
    await service.create_entity({"name": "Ada"})
    service.steps.clear()

    with pytest.raises(AlreadyExistsError):
        await service.create_entity({"name": "Ada"})
    with pytest.raises(ValidationError):
        await service.create_entity({"nope": 1})

    assert service.steps == ["validate", "validate"]


async def test_validation_may_look_at_the_data_it_is_about() -> None:
    class Careful(UserService):
        @override
        async def _validate_create_data(self, data: Any) -> None:
            if await self.users.get_by_name(data["name"]):
                raise AlreadyExistsError(fields=("name",))

    service = Careful(Users())
    await service.create_entity({"name": "Ada"})

    with pytest.raises(AlreadyExistsError):
        await service.create_entity({"name": "Ada"})


async def test_the_hooks_of_the_base_let_everything_pass() -> None:
    service: BaseService[User, int] = BaseService(Users())

    await service.create_entity({"name": "Ada", "email": "a@x"})
    await service.update_entity(1, {"name": "Eve"})

    assert await service.get_entity(1) == User("Eve", "a@x", 1)
    await service.delete_entity(1)


# Events


@pytest.mark.defect("E19")
async def test_the_event_follows_the_commit_and_carries_the_id_alone() -> None:
    bus, seen = InMemoryEventBus(), []
    service = make_service(events=bus)

    async def on_created(event: Event[Any]) -> None:
        seen.append((event.data, event.source, await service.users.count()))
        assert current_unit() is None

    bus.subscribe("user.created", on_created)
    async with service.unit_of_work():
        await service.create_entity({"name": "Ada", "email": "secret"})
        assert seen == []

    assert seen == [({"id": 1}, "UserService", 1)]


async def test_without_events_nothing_is_emitted() -> None:
    service = make_service()

    await service.create_entity({"name": "Ada"})

    async with service.unit_of_work():
        with pytest.raises(UsageError, match="events="):
            service.emit("event")


async def test_the_data_of_the_event_can_be_chosen() -> None:
    class Chatty(UserService):
        @override
        def _event_data(self, entity: User) -> Mapping[str, Any]:
            return {**super()._event_data(entity), "name": entity.name}

    bus = MockEventBus()
    await Chatty(Users(), events=bus).create_entity({"name": "Ada"})

    assert bus.assert_published("user.created").data == {"id": 1, "name": "Ada"}


async def test_an_event_of_ones_own_waits_for_the_commit() -> None:
    bus = MockEventBus()
    service = make_service(events=bus)

    with pytest.raises(PlannedError):
        async with service.unit_of_work():
            service.emit(Event(event_type="user.seen", data={}))
            raise PlannedError
    bus.assert_nothing_published()
    async with service.unit_of_work():
        service.emit(Event(event_type="user.seen", data={}))
        bus.assert_nothing_published()

    bus.assert_published("user.seen")


async def test_emit_and_after_commit_need_an_open_unit() -> None:
    service = make_service(events=MockEventBus())

    with pytest.raises(UnitOfWorkError, match=r"emit\(\) needs an open unit"):
        service.emit(Event(event_type="user.seen", data={}))
    with pytest.raises(UnitOfWorkError, match=r"after_commit\(\) needs an open unit"):
        service.after_commit(lambda: None)


# Units of work


async def test_several_services_stand_or_fall_in_one_unit() -> None:
    database = MemoryDatabase()
    first, second = UserService(Users(database)), UserService(Users(database))

    with pytest.raises(PlannedError):
        async with first.unit_of_work():
            await first.create_entity({"name": "Ada"})
            await second.create_entity({"name": "Bob"})
            assert len(await second.list_entities()) == 2
            raise PlannedError
    assert await first.users.count() == 0

    async with first.unit_of_work():
        await first.create_entity({"name": "Ada"})
        await second.create_entity({"name": "Bob"})
        assert "committed" not in first.steps + second.steps
    assert first.steps[-1] == second.steps[-1] == "committed"
    assert await first.users.count() == 2


async def test_a_hook_goes_to_the_unit_of_the_services_own_home() -> None:
    mine, other = make_service(), make_service()
    order: list[str] = []

    async with mine.unit_of_work():
        async with other.unit_of_work():
            mine.after_commit(lambda: order.append("mine"))
            other.after_commit(lambda: order.append("other"))
        assert order == ["other"]

    assert order == ["other", "mine"]


async def test_an_override_may_write_more_in_the_same_unit() -> None:
    class Doubling(UserService):
        @override
        async def create_entity(self, create_data: Any) -> User:
            async with self.unit_of_work():
                created = await super().create_entity(create_data)
                await self.users.create({"name": f"twin of {created.name}"})
                return created

    service = Doubling(Users())
    await service.create_entity({"name": "Ada"})
    await service.users.create({"name": "twin of Bob"})

    with pytest.raises(AlreadyExistsError):
        await service.create_entity({"name": "Bob"})

    names = [user.name for user in await service.users.get_all()]
    assert names == ["Ada", "twin of Ada", "twin of Bob"]


async def test_an_override_may_publish_by_hand_as_the_textbook_does() -> None:
    class ByHand(BaseService[User, int]):
        def __init__(self, users: Users, bus: MockEventBus) -> None:
            super().__init__(users)
            self.bus = bus

        @override
        async def create_entity(self, create_data: Any) -> User:
            user = await super().create_entity(create_data)
            await self.bus.publish(Event(event_type="user.created", data={"n": 1}))
            return user

    bus = MockEventBus()
    await ByHand(Users(), bus).create_entity({"name": "Ada"})

    assert bus.assert_published("user.created").data == {"n": 1}


@asynccontextmanager
async def sqlite_service(tmp_path: Path) -> AsyncIterator[BaseService[Author, int]]:
    class Masking(BaseService[Author, int]):
        entity_name = "author"

        @override
        async def _apply_business_rules(self, entity: Author) -> Author:
            entity.name = "***"
            return entity

    async with Database(f"sqlite:///{tmp_path}/service.db") as database:
        await make_tables(database.engine)
        yield Masking(Repository[Author, int](database, Author))


@pytest.mark.parametrize("inside", [True, False])
async def test_masking_never_reaches_the_database(tmp_path: Path, inside: bool) -> None:
    async with sqlite_service(tmp_path) as service:
        await service.create_entity({"name": "Ada"})

        if inside:
            async with service.unit_of_work():
                shown = await service.get_entity(1)
                await service.list_entities()
                await service.repository.count()
        else:
            shown = await service.get_entity(1)
            await service.list_entities()

        assert shown.name == "***"
        found = await service.repository.get_by_id(1)
        assert found is not None
        assert found.name == "Ada"


async def test_a_service_over_mapped_classes_emits_the_generated_id(
    tmp_path: Path,
) -> None:
    bus = MockEventBus()
    async with sqlite_service(tmp_path) as service:
        announcing = type(service)(service.repository, events=bus)
        await announcing.create_entity(Author(name="Ada", books=[Book(title="b")]))

    assert bus.assert_published("author.created").data == {"id": 1}


async def test_a_read_only_unit_of_a_service_refuses_to_write() -> None:
    service = make_service()

    async with service.unit_of_work(read_only=True):
        assert await service.list_entities() == []
        with pytest.raises(UnitOfWorkError, match="read-only"):
            await service.create_entity({"name": "Ada"})

    assert await service.repository.count() == 0


@pytest.mark.parametrize(
    ("operation", "given"),
    [("get_entity", ()), ("update_entity", ({"name": "Ada"},)), ("delete_entity", ())],
)
@pytest.mark.parametrize("home", ["memory", "none"])
async def test_the_id_of_what_is_not_stored_is_refused_before_any_hook(
    operation: str, given: tuple[Any, ...], home: str
) -> None:
    service = make_service()
    service.repository = Users() if home == "memory" else ShelfRepository()

    with pytest.raises(UsageError, match="no id before it is stored"):
        await getattr(service, operation)(None, *given)

    assert service.steps == []


# A repository of the textbook's, which has no home


class ShelfRepository(BaseRepository[User, int]):
    def __init__(self) -> None:
        self.stored: dict[int, User] = {}

    @override
    async def create(self, entity: User) -> User:
        given: Any = entity  # the service passes on what it was given
        user = User(**given) if isinstance(given, dict) else entity
        user.id = len(self.stored) + 1
        self.stored[user.id] = user
        return user

    @override
    async def get_by_id(self, entity_id: int) -> User | None:
        return self.stored.get(entity_id)

    @override
    async def get_all(self, skip: int = 0, limit: int = 100) -> list[User]:
        return list(self.stored.values())[skip : skip + limit]

    @override
    async def update(self, entity_id: int, update_data: dict[str, Any]) -> User | None:
        user = self.stored.get(entity_id)
        if user is not None:
            vars(user).update(update_data)
        return user

    @override
    async def delete(self, entity_id: int) -> bool:
        return self.stored.pop(entity_id, None) is not None

    @override
    async def exists(self, entity_id: int) -> bool:
        return entity_id in self.stored


class PlainService(BaseService[User, int]):
    entity_name = "user"

    @override
    async def _post_create_actions(self, entity: User) -> None:
        self.after_commit(lambda: calls.append(entity.name))
        if entity.name == "bad":
            raise PlannedError

    @override
    async def _apply_business_rules(self, entity: User) -> User:
        entity.email = "***"
        return entity


calls: list[str] = []


async def test_a_repository_without_a_home_gets_hooks_and_events_on_success() -> None:
    calls.clear()
    bus = MockEventBus()
    service = PlainService(ShelfRepository(), events=bus)

    await service.create_entity(User("Ada", "a@x"))
    with pytest.raises(PlannedError):
        await service.create_entity({"name": "bad"})
    updated = await service.update_entity(1, UserUpdate(name="Eve"))
    shown = await service.get_entity(1)

    assert (calls, [e.data for e in bus.published]) == (["Ada"], [{"id": 1}])
    assert (updated.name, updated.email, shown.email) == ("Eve", "a@x", "***")
    await service.delete_entity(1)
    with pytest.raises(NotFoundError, match="no user with id 1"):
        await service.get_entity(1)


async def test_a_repository_without_a_home_has_no_savepoints() -> None:
    service = PlainService(ShelfRepository())

    async with service.unit_of_work() as unit:
        with pytest.raises(NotSupportedError, match="home"):
            async with unit.savepoint():
                pass


async def test_a_repository_without_a_home_has_no_read_only_units() -> None:
    service = PlainService(ShelfRepository())

    with pytest.raises(NotSupportedError, match="ShelfRepository has no units of work"):
        service.unit_of_work(read_only=True)


async def test_units_of_a_repository_of_ones_own_need_not_know_read_only() -> None:
    class Units(ShelfRepository):
        def unit_of_work(self, *, events: EventSink | None = None) -> UnitOfWork:
            return plain_unit_of_work(events=events)

    async with PlainService(Units()).unit_of_work() as unit:
        assert current_unit() is unit


async def test_any_object_may_be_a_repository() -> None:
    class Duck:
        async def get_by_id(self, entity_id: int) -> object:
            return {"id": entity_id, "tags": ["x"]}

    service: BaseService[Any, Any] = BaseService(Duck())  # type: ignore[arg-type] # what is tested

    assert await service.get_entity(5) == {"id": 5, "tags": ["x"]}


# safe_execute


async def test_safe_execute_returns_what_the_operation_returns() -> None:
    service = make_service()

    async def add(a: int, *, b: int) -> int:
        return a + b

    assert await service.safe_execute(add, 1, b=2) == 3
    assert await service.safe_execute(lambda: "sync") == "sync"


async def test_safe_execute_lets_errors_of_the_application_through() -> None:
    service = make_service()
    await service.create_entity({"name": "Ada"})

    with pytest.raises(NotFoundError):
        await service.safe_execute(service.get_entity, 7)
    with pytest.raises(AlreadyExistsError) as refused:
        await service.safe_execute(service.create_entity, {"name": "Ada"})

    assert refused.value.status_code == 409


@pytest.mark.defect("F17")
@pytest.mark.parametrize("named", [True, False])
async def test_safe_execute_logs_the_unexpected_and_shows_a_fixed_text(
    caplog: pytest.LogCaptureFixture, named: bool
) -> None:
    async def broken() -> None:
        raise RuntimeError("password=s3cret")

    class Nameless:
        def __call__(self) -> None:
            raise RuntimeError("password=s3cret")

    with pytest.raises(AppException) as failed:
        await make_service().safe_execute(broken if named else Nameless())

    assert type(failed.value) is AppException
    assert failed.value.status_code == 500
    assert "s3cret" not in str(failed.value) + str(failed.value.to_problem())
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert ("broken" in record.message) is named
    assert record.exc_info is not None


async def test_safe_execute_lets_a_cancellation_pass() -> None:
    service, started = make_service(), asyncio.Event()

    async def wait() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(service.safe_execute(wait))
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


class Letter(BaseModel):
    text: str
    id: int | None = None
    version: int | None = None


async def test_update_and_delete_may_expect_the_version_that_was_read() -> None:
    letters = BaseService[Letter, int](InMemoryRepository(model_class=Letter))
    made = await letters.create_entity({"text": "a"})
    assert made.id is not None

    updated = await letters.update_entity(made.id, {"text": "b"}, expected_version=1)
    with pytest.raises(StaleDataError):
        await letters.update_entity(made.id, {"text": "c"}, expected_version=1)
    with pytest.raises(StaleDataError):
        await letters.delete_entity(made.id, expected_version=1)
    await letters.delete_entity(made.id, expected_version=2)

    assert (updated.text, updated.version) == ("b", 2)
    assert await letters.list_entities() == []


class Lone(BaseService[User, int]):
    """Have no hooks."""


class TwoWrites(Repository[User, int]):
    """Store a second user with each."""

    @override
    async def create(self, data: Any) -> User:
        await super().create(User(name="first"))
        return await super().create(data)


class Watched(Database):
    """Count the units that are asked for."""

    opened = 0

    @override
    def unit_of_work(
        self, *, events: EventSink | None = None, read_only: bool = False
    ) -> UnitOfWork:
        self.opened += 1
        return super().unit_of_work(events=events, read_only=read_only)


class HookedAuthors(BaseService[Author, int]):
    """Have a hook for changes alone."""

    @override
    async def _post_update_actions(self, entity: Author) -> None:
        """Do nothing, in a unit."""


class OwnUnits(Repository[Author, int]):
    """Have units of its own."""

    @override
    def unit_of_work(
        self, *, events: EventSink | None = None, read_only: bool = False
    ) -> UnitOfWork:
        return super().unit_of_work(events=events, read_only=read_only)


async def test_only_a_verb_with_hooks_needs_a_unit_around_it() -> None:
    async with Watched("sqlite://") as home:
        await make_tables(home.engine)
        service = HookedAuthors(Repository(home, Author))

        author = await service.create_entity({"name": "ann"})
        assert home.opened == 0

        await service.update_entity(author.id, {"name": "bob"})
        assert home.opened == 1

        await service.delete_entity(author.id)
        assert home.opened == 1 + 1  # for what refers to it


async def test_a_repository_with_units_or_a_verb_of_its_own_gets_a_unit() -> None:
    async with Watched("sqlite://") as home:
        await make_tables(home.engine)
        own, changed = OwnUnits(home, Author), Repository[Author, int](home, Author)
        create: Any = changed.create

        async def twice(data: Any) -> Author:
            await create(data)
            raise LookupError

        vars(changed)["create"] = twice

        await BaseService(own).create_entity({"name": "ann"})
        assert home.opened == 1
        with pytest.raises(LookupError):
            await BaseService(changed).create_entity({"name": "bob"})

        assert await own.count() == 1


async def test_a_repositorys_own_verb_of_two_writes_is_one_unit_of_the_service() -> (
    None
):
    users = TwoWrites(MemoryDatabase(), User)
    await users.create_many([User(name="taken")])

    with pytest.raises(AlreadyExistsError):
        await Lone(users).create_entity({"name": "taken"})

    assert await users.count() == 1


async def test_a_service_with_units_of_its_own_opens_one_for_each_verb() -> None:
    class Own(Lone):
        opened = 0

        @override
        def unit_of_work(self, *, read_only: bool = False) -> UnitOfWork:
            self.opened += 1
            return super().unit_of_work(read_only=read_only)

    service = Own(Repository[User, int](MemoryDatabase(), User))

    await service.create_entity({"name": "ann"})

    assert service.opened == 1
