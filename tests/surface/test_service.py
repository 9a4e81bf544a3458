"""The textbook's service, to the letter."""

import inspect
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from typing_extensions import override

from layerkit import (
    AlreadyExistsError,
    BaseRepository,
    BaseService,
    ConflictError,
    Event,
    InMemoryRepository,
    NotFoundError,
    UsageError,
    ValidationError,
    field,
)
from layerkit.repository import Unique
from layerkit.testing import MockEventBus, MockNotification


@dataclass
class User:
    email: Annotated[str, Unique()]
    name: str = ""
    id: int | None = None


class UserRepository(InMemoryRepository[User, int]):
    async def get_by_email(self, email: str) -> User | None:
        return await self.find_one(field("email") == email)


class UserService(BaseService[User, int]):
    repository: UserRepository

    def __init__(
        self, user_repository: UserRepository, email_service: MockNotification
    ) -> None:
        super().__init__(user_repository)
        self.email_service = email_service

    @override
    async def _validate_create_data(self, data: Any) -> None:
        if "@" not in data["email"]:
            raise ValidationError("That is no e-mail address")
        if await self.repository.get_by_email(data["email"]):
            raise ConflictError("E-mail already registered")

    @override
    async def _post_create_actions(self, entity: User) -> None:
        self.after_commit(
            lambda: self.email_service.send_notification(
                entity.email, "Welcome", "welcome"
            )
        )

    @override
    async def _apply_business_rules(self, entity: User) -> User:
        entity.name = entity.name.title()
        return entity


class TextbookRepository(BaseRepository[User, int]):
    """Copied from a book: six verbs over a dict, and nothing else."""

    def __init__(self) -> None:
        self.data: dict[int, User] = {}

    @override
    async def create(self, entity: User) -> User:
        entity.id = len(self.data) + 1
        self.data[entity.id] = entity
        return entity

    @override
    async def get_by_id(self, entity_id: int) -> User | None:
        return self.data.get(entity_id)

    @override
    async def get_all(self, skip: int = 0, limit: int = 100) -> list[User]:
        return list(self.data.values())[skip : skip + limit]

    @override
    async def update(self, entity_id: int, update_data: dict[str, Any]) -> User | None:
        if (user := self.data.get(entity_id)) is not None:
            vars(user).update(update_data)
        return user

    @override
    async def delete(self, entity_id: int) -> bool:
        return self.data.pop(entity_id, None) is not None

    @override
    async def exists(self, entity_id: int) -> bool:
        return entity_id in self.data


@pytest.fixture
def mail() -> MockNotification:
    return MockNotification()


@pytest.fixture
def users(mail: MockNotification) -> UserService:
    return UserService(UserRepository(), mail)


async def test_create_get_list_update_and_delete(
    users: UserService, mail: MockNotification
) -> None:
    created = await users.create_entity({"email": "ada@example.org", "name": "ada"})
    assert created.id is not None
    mail.assert_sent(to="ada@example.org", type="welcome")

    assert (await users.get_entity(created.id)).name == "Ada"
    assert [user.name for user in await users.list_entities(skip=0, limit=10)] == [
        "Ada"
    ]
    assert (await users.update_entity(created.id, {"name": "bob"})).name == "bob"
    await users.delete_entity(created.id)

    with pytest.raises(NotFoundError):
        await users.get_entity(created.id)


async def test_what_a_hook_refuses_is_not_stored(
    users: UserService, mail: MockNotification
) -> None:
    await users.create_entity({"email": "ada@example.org"})

    with pytest.raises(ConflictError):
        await users.create_entity({"email": "ada@example.org"})
    with pytest.raises(ValidationError):
        await users.create_entity({"email": "nobody"})

    assert await users.repository.count() == 1
    assert len(mail.sent) == 1


@pytest.mark.parametrize("call", ["update_entity", "delete_entity"])
async def test_what_is_absent_is_not_found(users: UserService, call: str) -> None:
    arguments = (7, {"name": "x"}) if call == "update_entity" else (7,)

    with pytest.raises(NotFoundError, match="no User with id 7"):
        await getattr(users, call)(*arguments)


async def test_every_hook_has_the_textbooks_name_and_parameters() -> None:
    hooks = {
        "_validate_create_data": ["data"],
        "_post_create_actions": ["entity"],
        "_apply_business_rules": ["entity"],
        "_validate_update_data": ["entity_id", "data"],
        "_post_update_actions": ["entity"],
        "_validate_delete": ["entity_id"],
        "_post_delete_actions": ["entity_id"],
    }
    for name, parameters in hooks.items():
        hook = getattr(BaseService, name)
        assert inspect.iscoroutinefunction(hook)
        assert list(inspect.signature(hook).parameters) == ["self", *parameters]


def test_the_base_leaves_attribute_names_to_its_users(users: UserService) -> None:
    assert users.repository is not None
    assert users.logger.name == "UserService"
    taken = {name for name in vars(BaseService) if not name.startswith("_")}
    assert taken == {
        "entity_name", "create_entity", "get_entity", "list_entities", "update_entity",
        "delete_entity", "safe_execute", "unit_of_work", "after_commit", "emit",
        "repository", "logger",
    }  # fmt: skip


def test_a_service_needs_a_repository() -> None:
    with pytest.raises(UsageError, match="needs a repository"):
        BaseService(None)  # type: ignore[arg-type] # it must fail at run time too


async def test_a_textbook_repository_serves_as_it_is() -> None:
    service: BaseService[User, int] = BaseService(TextbookRepository())

    created = await service.create_entity(User("ada@example.org"))
    assert created.id is not None

    assert (await service.get_entity(created.id)).email == "ada@example.org"
    assert (await service.update_entity(created.id, {"name": "Ada"})).name == "Ada"
    await service.delete_entity(created.id)


async def test_safe_execute_passes_ours_and_hides_the_unexpected(
    users: UserService, caplog: pytest.LogCaptureFixture
) -> None:
    async def conflict() -> None:
        raise AlreadyExistsError(fields=("email",))

    def broken(secret: str) -> None:
        raise RuntimeError(secret)

    with pytest.raises(AlreadyExistsError):
        await users.safe_execute(conflict)
    with pytest.raises(Exception, match="The operation failed") as hidden:
        await users.safe_execute(broken, "hunter2")

    assert getattr(hidden.value, "status_code", None) == 500
    assert "hunter2" not in str(hidden.value)
    assert "broken failed" in caplog.text
    assert await users.safe_execute(lambda n: n + 1, 1) == 2


class PublishingService(BaseService[User, int]):
    entity_name = "user"

    def __init__(self, repository: UserRepository, bus: MockEventBus) -> None:
        super().__init__(repository, events=bus)
        self.bus = bus

    @override
    async def create_entity(self, create_data: Any) -> User:
        user = await super().create_entity(create_data)
        await self.bus.publish(
            Event(event_type="user.welcomed", data={"id": user.id}, source="users")
        )
        return user


async def test_create_entity_is_overridden_and_an_event_published_by_hand() -> None:
    bus = MockEventBus()
    service = PublishingService(UserRepository(), bus)

    user = await service.create_entity({"email": "ada@example.org"})

    types = [event.event_type for event in bus.published]
    assert types == ["user.created", "user.welcomed"]
    assert bus.published[0].data == {"id": user.id}


def test_events_need_an_entity_name() -> None:
    with pytest.raises(UsageError, match="entity_name"):
        BaseService(UserRepository(), events=MockEventBus())
