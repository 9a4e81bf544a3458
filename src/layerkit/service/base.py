"""BaseService: business rules around a repository, each call one unit of work."""

import inspect
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, ClassVar, Generic, Self, cast

from pydantic import BaseModel
from typing_extensions import TypeVar

from layerkit.core.errors import (
    AppException,
    NotFoundError,
    NotSupportedError,
    UnitOfWorkError,
    UsageError,
)
from layerkit.core.logging import get_logger, name_of
from layerkit.events import Event
from layerkit.repository import BaseRepository, Home, Repository, copy_of
from layerkit.service.schemas import as_asked
from layerkit.unit_of_work import (
    EventSink,
    Hook,
    Transaction,
    UnitOfWork,
    current_unit,
    plain_unit_of_work,
)

T = TypeVar("T", default=Any)
ID = TypeVar("ID", default=Any)

_UNEXPECTED = "The operation failed"
_AROUND_CREATE = ("_validate_create_data", "_post_create_actions")
_AROUND_UPDATE = ("_validate_update_data", "_post_update_actions")
_AROUND_DELETE = ("_validate_delete", "_post_delete_actions")


class _SetByInit:
    """Stand for what ``BaseService.__init__`` sets, and say so until it has."""

    def __get__(self, service: object | None, owner: type) -> Self:
        if service is None:
            return self
        raise UsageError(
            f"{owner.__name__} has no repository yet: its __init__ must call "
            "super().__init__(repository) first"
        )


class BaseService(Generic[T, ID]):
    """Put an application's rules around the verbs of a repository.

    Each call is one unit of work: validation, write, hooks and event commit or roll
    back together; without hooks and events, the repository's verb is all of it.
    Subclasses override hooks (``_validate_create_data``, ``_post_create_actions``, ...)
    and add operations of their own; several writes of their own go inside ``async with
    self.unit_of_work():``. What reaches outside, mail or HTTP, belongs in
    ``after_commit`` or in an event.

    With *events*, ``<entity_name>.created`` is emitted for every new entity.

    Args:
        repository: Any repository; one without units of work gets units that run hooks
            and events on success, without a transaction.
        events: Where events go: a bus, or an outbox.

    Attributes:
        entity_name: What events are named after, such as ``"user"``.
        repository: As it was passed in.
        logger: Named after the class.

    Raises:
        UsageError: No repository, or *events* without an ``entity_name``; also from
            whatever needs the repository, where a subclass has not called this.
    """

    entity_name: ClassVar[str | None] = None
    repository: BaseRepository[T, ID] = cast(Any, _SetByInit())
    logger: logging.Logger = cast(Any, _SetByInit())

    def __init__(
        self, repository: BaseRepository[T, ID], *, events: EventSink | None = None
    ) -> None:
        name = type(self).__name__
        given: object = repository
        if given is None or isinstance(given, type | Home):
            raise UsageError(f"{name} needs a repository, got {given!r}")
        if events is not None and not self.entity_name:
            raise UsageError(
                f'{name} has events= and no entity_name: set entity_name = "user" on '
                'the class, and its events are named "user.created"'
            )
        self.repository = repository
        self.logger = get_logger(name)
        self._events = events

    @classmethod
    def _not_injected(cls) -> Collection[str]:
        """Return the parameters that a factory leaves at their defaults.

        This constructor refuses events without a name to give them.
        """
        is_own = cls.__init__ is not BaseService.__init__
        return () if is_own or cls.entity_name else ("events",)

    # Operations

    async def create_entity(self, create_data: T | BaseModel | Mapping[str, Any]) -> T:
        """Check *create_data*, store a new entity and return it.

        Args:
            create_data: What the repository's ``create`` takes. A mapping becomes the
                schema that ``_validate_create_data(self, data: UserCreate)`` names.

        Raises:
            AppException: What a hook or the repository refuses; nothing is stored.
        """
        data = as_asked(type(self), "_validate_create_data", create_data)
        async with self._around("create", _AROUND_CREATE):
            await self._validate_create_data(data)
            entity = await self.repository.create(data)
            await self._post_create_actions(entity)
            if self._events is not None:
                self.emit(self._event("created", entity))
        return entity

    async def get_entity(self, entity_id: ID | None) -> T:
        """Return a detached copy of the entity, as the business rules show it.

        Args:
            entity_id: Which entity; None, the id of one that is not stored, is refused.

        Raises:
            NotFoundError: There is none with this id.
            UsageError: *entity_id* is None.
        """
        wanted = _known(entity_id)
        entity = await self.repository.get_by_id(wanted)
        if entity is None:
            raise self._not_found(wanted)
        detached = self._detach("get_by_id")
        return await self._apply_business_rules(detached(entity))

    async def list_entities(self, skip: int = 0, limit: int = 100) -> list[T]:
        """Return detached copies of entities, as the business rules show them.

        Args:
            skip: How many to skip, in the order of their keys.
            limit: The most to return, 1 to 10,000.
        """
        found = await self.repository.get_all(skip, limit)
        detached = self._detach("get_all")
        if not self._overrides("_apply_business_rules"):
            return [detached(entity) for entity in found]
        return [await self._apply_business_rules(detached(entity)) for entity in found]

    async def update_entity(
        self,
        entity_id: ID | None,
        data: BaseModel | Mapping[str, Any],
        *,
        expected_version: int | None = None,
    ) -> T:
        """Check *data*, change the entity and return it.

        Args:
            entity_id: Which entity; None is refused, as for ``get_entity``.
            data: The changes; of a schema, the fields that were set. A mapping becomes
                the schema that ``_validate_update_data`` names for its data.
            expected_version: The version that the caller has read.

        Raises:
            NotFoundError: There is none with this id.
            StaleDataError: It is there in another version.
            AppException: What a hook or the repository refuses; nothing is stored.
        """
        wanted = _known(entity_id)
        asked = as_asked(type(self), "_validate_update_data", data)
        async with self._around("update", _AROUND_UPDATE):
            await self._validate_update_data(wanted, asked)
            entity = await self.repository.update(
                wanted, _changes(asked), **_expecting(expected_version)
            )
            if entity is None:
                raise self._not_found(wanted)
            await self._post_update_actions(entity)
        return entity

    async def delete_entity(
        self, entity_id: ID | None, *, expected_version: int | None = None
    ) -> None:
        """Remove the entity.

        Args:
            entity_id: Which entity; None is refused, as for ``get_entity``.
            expected_version: The version that the caller has read.

        Raises:
            NotFoundError: There is none with this id.
            StaleDataError: It is there in another version.
            AppException: What a hook or the repository refuses; nothing is removed.
        """
        wanted = _known(entity_id)
        async with self._around("delete", _AROUND_DELETE):
            await self._validate_delete(wanted)
            deleted = await self.repository.delete(
                wanted, **_expecting(expected_version)
            )
            if not deleted:
                raise self._not_found(wanted)
            await self._post_delete_actions(wanted)

    async def safe_execute(
        self, operation: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Return what *operation* returns, awaited where it is awaitable.

        Raises:
            AppException: As the operation raised it; any other error is logged, and a
                plain 500 without its text takes its place.
        """
        try:
            result = operation(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result
        except AppException:
            raise
        except Exception as error:
            self.logger.exception("%s failed", name_of(operation))
            raise AppException(_UNEXPECTED) from error

    # The unit of work

    def unit_of_work(self, *, read_only: bool = False) -> UnitOfWork:
        """Return a unit of work of the repository's home, with the service's events.

        A service whose repository has no home gets one that joins the open unit, or
        runs hooks and events on success without a transaction.

        Args:
            read_only: True refuses writing verbs; on SQLite it takes no write lock.

        Raises:
            NotSupportedError: *read_only*, and the repository has no home.
        """
        opened = getattr(self.repository, "unit_of_work", None)
        if opened is not None:
            only = {"read_only": True} if read_only else {}
            unit: UnitOfWork = opened(events=self._events, **only)
            return unit
        if read_only:
            raise NotSupportedError(
                f"{type(self.repository).__name__} has no units of work, so that none "
                "can be read-only: subclass Repository and give it a home"
            )
        return plain_unit_of_work(events=self._events)

    def after_commit(self, hook: Hook) -> None:
        """Run *hook* once the open unit has committed, and never after a rollback.

        Raises:
            UnitOfWorkError: No unit is open.
        """
        self._transaction("after_commit").after_commit(hook)

    def emit(self, event: object) -> None:
        """Send *event* once the open unit has committed, and never otherwise.

        Raises:
            UnitOfWorkError: No unit is open.
            UsageError: The service, and the unit, have no events.
        """
        self._transaction("emit").emit(event)

    # Hooks; an override may name the parameters as it likes

    async def _validate_create_data(self, data: Any, /) -> None:
        """Refuse *data* by raising; where it is annotated as a schema, it is one."""

    async def _post_create_actions(self, entity: T, /) -> None:
        """Do what belongs to the creation, in the same unit of work."""

    async def _validate_update_data(self, entity_id: ID, data: Any, /) -> None:
        """Refuse *data* by raising; where it is annotated as a schema, it is one."""

    async def _post_update_actions(self, entity: T, /) -> None:
        """Do what belongs to the change, in the same unit of work."""

    async def _validate_delete(self, entity_id: ID, /) -> None:
        """Refuse the removal by raising."""

    async def _post_delete_actions(self, entity_id: ID, /) -> None:
        """Do what belongs to the removal, in the same unit of work."""

    async def _apply_business_rules(self, entity: T, /) -> T:
        """Return *entity*, a detached copy, as callers may see it."""
        return entity

    def _event_data(self, entity: T, /) -> Mapping[str, Any]:
        """Return the data of the automatic event: the id, unless overridden."""
        return {"id": self.repository.id_of(entity)}

    # Helpers

    def _around(
        self, verb: str, hooks: Iterable[str]
    ) -> AbstractAsyncContextManager[object]:
        """Return a unit of work for *verb* and *hooks*, or none if it is all there is.

        A verb outside of a unit is stored as a whole, too, and needs no block for that.
        """
        is_free = self._is_free(verb) and self._is_own("unit_of_work")
        is_all = not any(map(self._overrides, ("unit_of_work", *hooks)))
        is_plain = is_free and is_all and self._events is None
        return nullcontext() if is_plain else self.unit_of_work()

    def _overrides(self, name: str) -> bool:
        """Tell whether a subclass, or the object itself, has a method of its own."""
        own = getattr(getattr(self, name), "__func__", None)
        return own is not getattr(BaseService, name)

    def _is_free(self, verb: str) -> bool:
        """Tell whether *verb* of the repository is ours, and in no open unit."""
        home = getattr(self.repository, "home", None)
        is_free = isinstance(home, Home) and home.transaction() is None
        return is_free and self._is_own(verb)

    def _is_own(self, name: str) -> bool:
        """Tell whether neither the repository nor its class replaces a method."""
        method = getattr(self.repository, name, None)
        return getattr(method, "__func__", None) is getattr(Repository, name)

    def _event(self, what: str, entity: T) -> Event[dict[str, Any]]:
        return Event(
            event_type=f"{self.entity_name}.{what}",
            data=dict(self._event_data(entity)),
            source=type(self).__name__,
        )

    def _not_found(self, entity_id: ID) -> NotFoundError:
        entity = getattr(self.repository, "model_class", None) or self.entity_name
        return NotFoundError(entity=entity, entity_id=entity_id)

    def _detach(self, verb: str) -> Callable[[T], T]:
        """Return what makes of a result of *verb* one that nobody else holds.

        What a home hands out outside of a unit is that already.
        """
        # An override may hand out what it keeps.
        return _same if self._is_free(verb) else copy_of

    def _transaction(self, what: str) -> Transaction:
        home = getattr(self.repository, "home", None)
        own = home.transaction() if isinstance(home, Home) else None
        if own is not None and own.blocks:
            return own
        unit = current_unit()
        if unit is None or unit.transaction is None:
            raise UnitOfWorkError(
                f"{what}() needs an open unit of work: call it in a hook of the "
                "service, or inside `async with self.unit_of_work():`"
            )
        return unit.transaction


def _same(entity: T) -> T:
    return entity


def _expecting(version: int | None) -> dict[str, Any]:
    """Return what to pass on: a repository with six verbs takes no such keyword."""
    return {} if version is None else {"expected_version": version}


def _known(entity_id: ID | None) -> ID:
    """Return the id of an entity that is stored.

    Raises:
        UsageError: It is None.
    """
    if entity_id is None:
        raise UsageError("the id is None: an entity has no id before it is stored")
    return entity_id


def _changes(data: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    """Return what *data* changes as a dict, which every repository takes.

    Raises:
        UsageError: It is neither a schema nor a mapping.
    """
    if isinstance(data, BaseModel):
        fields = type(data).model_fields
        return {n: getattr(data, n) for n in fields if n in data.model_fields_set}
    given: object = data
    if not isinstance(given, Mapping):
        raise UsageError(
            f"an update is a schema or a mapping, got a {type(given).__name__}"
        )
    return dict(given)
