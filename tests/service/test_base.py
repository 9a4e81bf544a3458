"""BaseService: each call one unit of work, on repositories with and without a home."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import override

from layerkit import (
    AlreadyExistsError,
    BaseRepository,
    BaseService,
    BusinessRuleError,
    MemoryDatabase,
    NotFoundError,
    NotSupportedError,
    Repository,
    UnitOfWorkError,
    UpdateSchema,
    UsageError,
)
from layerkit.repository import Unique
from layerkit.sql import Database
from layerkit.testing import MockEventBus
from tests.support.entities import Base, MappedItem


@dataclass
class User:
    email: Annotated[str, Unique()]
    name: str = ""
    id: int | None = None


class Users(Repository[User, int]): ...


class Steps(BaseService[User, int]):
    """Note each hook, and fail in the one that a test names."""

    entity_name = "user"

    def __init__(self, repository: Any, **options: Any) -> None:
        super().__init__(repository, **options)
        self.steps: list[str] = []
        self.fails_in = ""

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.fails_in:
            raise BusinessRuleError(name)

    @override
    async def _validate_create_data(self, data: Any) -> None:
        self._step("validate create")

    @override
    async def _post_create_actions(self, entity: User) -> None:
        self.after_commit(lambda: self.steps.append("committed"))
        self._step("post create")

    @override
    async def _validate_update_data(self, entity_id: int, data: Any) -> None:
        self._step("validate update")

    @override
    async def _post_update_actions(self, entity: User) -> None:
        self._step("post update")

    @override
    async def _validate_delete(self, entity_id: int) -> None:
        self._step("validate delete")

    @override
    async def _post_delete_actions(self, entity_id: int) -> None:
        self._step("post delete")


class Textbook(BaseRepository[User, int]):
    """Have no home: six verbs over a dict."""

    def __init__(self) -> None:
        self.rows: dict[int, User] = {}

    @override
    async def create(self, entity: User) -> User:
        entity.id = len(self.rows) + 1
        return self.rows.setdefault(entity.id, entity)

    @override
    async def get_by_id(self, entity_id: int) -> User | None:
        return self.rows.get(entity_id)

    @override
    async def get_all(self, skip: int = 0, limit: int = 100) -> list[User]:
        return list(self.rows.values())[skip : skip + limit]

    @override
    async def update(self, entity_id: int, update_data: dict[str, Any]) -> User | None:
        if (user := self.rows.get(entity_id)) is not None:
            vars(user).update(update_data)
        return user

    @override
    async def delete(self, entity_id: int) -> bool:
        return self.rows.pop(entity_id, None) is not None

    @override
    async def exists(self, entity_id: int) -> bool:
        return entity_id in self.rows


@pytest.fixture
def users() -> Users:
    return Users(MemoryDatabase())


async def test_hooks_surround_the_write_and_the_commit_comes_last(users: Users) -> None:
    service = Steps(users)

    user = await service.create_entity({"email": "ada@example.org"})
    await service.update_entity(user.id or 0, {"name": "Ada"})
    await service.delete_entity(user.id or 0)

    assert service.steps == [
        "validate create", "post create", "committed",
        "validate update", "post update",
        "validate delete", "post delete",
    ]  # fmt: skip


@pytest.mark.parametrize("step", ["validate create", "post create"])
async def test_a_creation_that_fails_anywhere_leaves_nothing(
    users: Users, step: str
) -> None:
    bus = MockEventBus()
    service = Steps(users, events=bus)
    service.fails_in = step

    with pytest.raises(BusinessRuleError):
        await service.create_entity({"email": "ada@example.org"})

    assert await users.count() == 0
    assert "committed" not in service.steps
    bus.assert_nothing_published()


async def test_a_change_and_a_removal_that_fail_are_undone(users: Users) -> None:
    service = Steps(users)
    user = await users.create(User("ada@example.org", "Ada"))

    service.fails_in = "post update"
    with pytest.raises(BusinessRuleError):
        await service.update_entity(user.id or 0, {"name": "Bob"})
    service.fails_in = "post delete"
    with pytest.raises(BusinessRuleError):
        await service.delete_entity(user.id or 0)

    stored = await users.get_by_id(user.id or 0)
    assert stored is not None
    assert stored.name == "Ada"


async def test_of_a_schema_only_what_was_set_is_changed(users: Users) -> None:
    class Change(UpdateSchema):
        email: str | None = None
        name: str | None = None

    user = await users.create(User("ada@example.org", "Ada"))

    changed = await Steps(users).update_entity(user.id or 0, Change(name="A."))

    assert (changed.email, changed.name) == ("ada@example.org", "A.")


async def test_the_event_carries_the_id_only_and_leaves_after_the_commit(
    users: Users,
) -> None:
    bus = MockEventBus()
    counted: list[int] = []

    async def count(_: object) -> None:
        counted.append(await users.count())

    bus.subscribe("user.created", count)

    user = await Steps(users, events=bus).create_entity({"email": "ada@example.org"})

    event = bus.assert_published("user.created")
    assert (event.data, event.source) == ({"id": user.id}, "Steps")
    assert counted == [1]


async def test_the_data_of_the_event_can_be_overridden(users: Users) -> None:
    class Telling(Steps):
        @override
        def _event_data(self, entity: User) -> Mapping[str, Any]:
            return {**super()._event_data(entity), "email": entity.email}

    bus = MockEventBus()

    await Telling(users, events=bus).create_entity({"email": "ada@example.org"})

    data = bus.assert_published("user.created").data
    assert data == {"id": 1, "email": "ada@example.org"}


async def test_without_events_nothing_is_emitted_and_emit_says_so(users: Users) -> None:
    class Emitting(Steps):
        @override
        async def _post_create_actions(self, entity: User) -> None:
            self.emit("event")

    with pytest.raises(UsageError, match="events=bus"):
        await Emitting(users).create_entity({"email": "ada@example.org"})

    assert await users.count() == 0


async def test_services_of_one_home_share_the_unit_that_is_open(users: Users) -> None:
    bus = MockEventBus()
    outer, inner = Steps(users, events=bus), Steps(users, events=bus)

    with pytest.raises(BusinessRuleError):
        async with outer.unit_of_work():
            await inner.create_entity({"email": "ada@example.org"})
            outer.fails_in = "validate create"
            await outer.create_entity({"email": "bob@example.org"})

    assert await users.count() == 0
    bus.assert_nothing_published()


async def test_after_commit_outside_any_unit_is_refused(users: Users) -> None:
    service = Steps(users)

    with pytest.raises(UnitOfWorkError, match=r"after_commit\(\) needs an open unit"):
        service.after_commit(lambda: None)
    with pytest.raises(UnitOfWorkError, match=r"emit\(\) needs an open unit"):
        service.emit("event")


async def test_hooks_go_to_the_unit_of_the_services_own_home(users: Users) -> None:
    service = Steps(users)
    calls: list[str] = []

    async with service.unit_of_work():
        async with MemoryDatabase().unit_of_work():
            service.after_commit(lambda: calls.append("hook"))
        assert calls == []

    assert calls == ["hook"]


async def test_masking_a_field_never_reaches_the_database(users: Users) -> None:
    class Masking(Steps):
        @override
        async def _apply_business_rules(self, entity: User) -> User:
            entity.email = "***"
            return entity

    service = Masking(users)
    user = await users.create(User("ada@example.org"))

    async with service.unit_of_work():
        shown = await service.get_entity(user.id or 0)
        listed = await service.list_entities()

    stored = await users.get_by_id(user.id or 0)
    assert stored is not None
    assert (shown.email, listed[0].email) == ("***", "***")
    assert stored.email == "ada@example.org"


async def test_a_repository_without_a_home_gets_hooks_on_success_only() -> None:
    service = Steps(Textbook())

    await service.create_entity(User("ada@example.org"))
    service.fails_in = "post create"
    with pytest.raises(BusinessRuleError):
        await service.create_entity(User("bob@example.org"))

    assert service.steps.count("committed") == 1
    async with service.unit_of_work() as unit:
        with pytest.raises(NotSupportedError, match="savepoint"):
            await unit.savepoint().__aenter__()


async def test_a_repository_without_a_home_waits_for_the_unit_around_it(
    users: Users,
) -> None:
    service = Steps(Textbook())

    async with users.unit_of_work():
        await service.create_entity(User("ada@example.org"))
        assert "committed" not in service.steps

    assert service.steps[-1] == "committed"


async def test_what_is_absent_is_named_after_the_entity() -> None:
    with pytest.raises(NotFoundError, match="no user with id 3"):
        await Steps(Textbook()).get_entity(3)
    with pytest.raises(NotFoundError, match="no User with id 3"):
        await Steps(Users(MemoryDatabase())).get_entity(3)


@pytest.fixture
async def session() -> AsyncIterator[AsyncSession]:
    async with Database("sqlite://") as database:
        await database.create_all(Base.metadata)
        async with AsyncSession(database.engine) as opened:
            yield opened


async def test_a_service_on_a_session_commits_its_own_calls(
    session: AsyncSession,
) -> None:
    items: Repository[MappedItem, int] = Repository(session, MappedItem)
    service: BaseService[MappedItem, int] = BaseService(items)

    created = await service.create_entity({"name": "a"})
    with pytest.raises(AlreadyExistsError):
        await service.create_entity({"name": "a"})

    assert (await service.get_entity(created.id)).name == "a"
    await session.rollback()
    assert await items.count() == 1
