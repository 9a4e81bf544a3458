"""Entities that are pydantic models or dataclasses.

Fields of these names and types are filled in as the mixins of ``layerkit.sql`` do it:
``created_at``, ``updated_at`` and ``deleted_at`` (datetime), ``version`` (int).
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING
from datetime import UTC, datetime
from inspect import signature
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import pydantic
from pydantic import AliasChoices, AliasPath, BaseModel
from typing_extensions import TypeVar, override

from layerkit.core.errors import UsageError, ValidationError
from layerkit.core.schemas import refusal
from layerkit.repository.entities.adapter import Adapter, EntityAdapter
from layerkit.repository.entities.fields import (
    FieldInfo,
    Indexed,
    Key,
    Unique,
    UniqueRule,
)
from layerkit.repository.entities.limits import Limits
from layerkit.repository.entities.nesting import deep_copy
from layerkit.repository.filters.evaluate import Values
from layerkit.repository.filters.specification import field

T = TypeVar("T")

# Since pydantic 2.11.
_HAS_BY_NAME: Final = "by_name" in signature(BaseModel.model_validate).parameters
_STAMPS: Final[Mapping[str, type]] = {
    "created_at": datetime,
    "updated_at": datetime,
    "deleted_at": datetime,
    "version": int,
}


class ObjectAdapter(EntityAdapter[T], Generic[T]):
    """Know a class whose fields are its annotations."""

    def __init__(self, entity: type[T], names: list[str]) -> None:
        self.entity = entity
        hints = get_type_hints(entity, include_extras=True)
        marks: dict[str, list[object]] = {name: [] for name in names}
        options = {name: _options(hints[name], marks[name]) for name in names}
        self.key = tuple(n for n in names if any(isinstance(m, Key) for m in marks[n]))
        if not self.key and "id" in names:
            self.key = ("id",)
        if not self.key:
            raise UsageError(
                f"{entity.__name__} has no key: give it a field `id`, or mark one as "
                "Annotated[..., Key()]"
            )
        self.fields = {n: _field_info(n, options[n], marks[n]) for n in names}
        kinds = {name: info.kind for name, info in self.fields.items()}
        stamps = (name for name, kind in _STAMPS.items() if kinds.get(name) is kind)
        self.stamps = frozenset(stamps)
        self.version = "version" if "version" in self.stamps else None
        self.deleted = "deleted_at" if "deleted_at" in self.stamps else None
        self.unique = _unique_rules(marks, self.deleted)
        for name, info in self.fields.items():
            is_needed = name in self.key or not info.nullable
            if name == self.integer_key:  # as the widest column counts
                limits = Limits(least=-(2**63), greatest=2**63 - 1)
                self.fields[name] = dataclasses.replace(info, limits=limits)
            elif is_needed and name not in self.stamps:
                self.fields[name] = dataclasses.replace(info, required=True)

    @override
    def build(self, values: Values) -> T:
        try:
            return self.construct(values)
        except pydantic.ValidationError as error:
            text = f"{self.name} can't be made"
            raise refusal(text, error, named=self._named) from error

    def _named(self, place: str) -> str:
        """Return the field that pydantic calls *place*."""
        return place

    @override
    def values(self, entity: T) -> dict[str, Any]:
        return {n: deep_copy(v) for n, v in self.held(entity).items()}

    @override
    def held(self, entity: T) -> dict[str, Any]:
        try:
            return {name: getattr(entity, name) for name in self.fields}
        except AttributeError:  # a field(init=False) that nothing has set yet
            names = [name for name in self.fields if hasattr(entity, name)]
            return {name: getattr(entity, name) for name in names}

    @override
    def check_whole(self, entity: T) -> None:
        if extra := sorted(self._extra(entity)):
            raise ValidationError(
                f"{', '.join(extra)} of a {self.name} would not be stored: declare it "
                "as a field, leave it out, or begin its name with _",
                fields=extra,
            )

    def _extra(self, entity: T) -> Iterable[str]:
        """Return the names of what *entity* holds besides its fields."""
        held = getattr(entity, "__dict__", {})
        extra = [n for n in held if n not in self.fields and n[:1] != "_"]
        return [n for n in extra if not hasattr(self.entity, n)]

    @override
    def annotations(self) -> Iterable[Any]:
        return [*super().annotations(), *get_type_hints(self.entity).values()]

    @override
    def fill(self, entity: T, values: Values) -> None:
        for name, value in deep_copy(dict(values)).items():
            object.__setattr__(entity, name, value)  # also where it is frozen

    @override
    def load(self, values: Values) -> T:
        return loaded(self.entity, deep_copy(dict(values)))

    @override
    def defaults(self, values: Values) -> dict[str, Any]:
        # The class's constructor has filled all others.
        stamps = self.stamps & {"created_at", "updated_at"}
        blank = [name for name in stamps if values.get(name) is None]
        return dict.fromkeys(blank, datetime.now(UTC)) | self._next_version({})

    @override
    def start(self, name: str) -> Any:
        others = self.fields.keys() - {name}
        return class_defaults(self.entity, without=others).get(name) or 0

    @override
    def on_update(self, values: Values) -> dict[str, Any]:
        touched = self.stamps & {"updated_at"}
        return dict.fromkeys(touched, datetime.now(UTC)) | self._next_version(values)

    def _next_version(self, values: Values) -> dict[str, Any]:
        return (
            {self.version: (values.get(self.version) or 0) + 1} if self.version else {}
        )


class PydanticAdapter(ObjectAdapter[T], Generic[T]):
    """Know a pydantic model, whose values live in its ``__dict__``."""

    def __init__(self, entity: type[T], names: list[str]) -> None:
        super().__init__(entity, names)
        self.takes_more = self._model.model_config.get("extra") == "allow"

    @override
    def construct(self, values: Values) -> T:
        # By name: data come from code, while aliases are for what comes from outside.
        model = self._model
        if _HAS_BY_NAME:
            return cast(T, model.model_validate(dict(values), by_name=True))
        return cast(T, model.model_validate(_by_alias(model, values)))

    @override
    def validated(
        self, values: Values, changes: dict[str, Any], *, are_set: bool
    ) -> dict[str, Any]:
        made: Any = self.load({**values, **changes})
        assign = self._model.__pydantic_validator__.validate_assignment
        refusals = []
        for name, value in changes.items():
            try:
                assign(made, name, value)
            except pydantic.ValidationError as error:
                refusals.append(error)
        if refusals:
            text = f"{self.name} can't be changed"
            raise refusal(text, *refusals, named=self._named) from refusals[0]
        return {name: getattr(made, name) for name in changes}

    @override
    def _extra(self, entity: T) -> Iterable[str]:
        model = cast(BaseModel, entity)  # of the class, or of one below it
        more = type(model).model_fields.keys() - self.fields.keys()
        return more.union(model.__pydantic_extra__ or ())

    @override
    def holds_more(self, entity: T) -> bool:
        return bool(self._extra(entity))

    @override
    def check_alone(self, entity: T) -> None:
        self.check_whole(entity)  # one that is tracked may have got more

    @override
    def _named(self, place: str) -> str:
        fields = self._model.model_fields.items()
        return next((n for n, f in fields if f.validation_alias == place), place)

    @property
    def _model(self) -> type[BaseModel]:
        return cast("type[BaseModel]", self.entity)  # see make_adapter


def loaded(kind: type[T], values: Values) -> T:
    """Return an object that holds *values*, past the constructor of its class.

    Args:
        kind: A pydantic model or a dataclass.
        values: By field name; what is extra in a model may be among them.
    """
    new: T
    if issubclass(kind, BaseModel):
        new = kind.model_construct(**values)
        # An alias may be the name of another field.
        new.__dict__.update((n, v) for n, v in values.items() if n in kind.model_fields)
        return new
    new = kind.__new__(kind)
    for name, value in values.items():
        object.__setattr__(new, name, value)
    return new


def class_defaults(kind: type, *, without: Collection[str]) -> dict[str, Any]:
    """Return the defaults that a pydantic model or dataclass has; others have none.

    Args:
        kind: The class.
        without: The fields that need none.
    """
    if issubclass(kind, BaseModel):
        return {
            name: field.get_default(call_default_factory=True)
            for name, field in kind.model_fields.items()
            if name not in without and not field.is_required()
        }
    every = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    wanted = [field for field in every if field.name not in without]
    made = {f.name: f.default for f in wanted if f.default is not MISSING}
    factories = {f.name: f.default_factory for f in wanted}
    called = {n: f() for n, f in factories.items() if f is not MISSING}
    return made | called


def _by_alias(model: type[BaseModel], values: Values) -> dict[Any, Any]:
    """Return *values* where the validation aliases of *model* look for them."""
    given: dict[Any, Any] = {}
    for name, value in values.items():
        found = model.model_fields.get(name)
        alias = (found and found.validation_alias) or name
        if isinstance(alias, AliasChoices):
            alias = alias.choices[0]
        *way, last = alias.path if isinstance(alias, AliasPath) else [alias]
        place = given
        for step in way:
            place = place.setdefault(step, {})
        place[last] = value
    return given


def make_adapter(entity: type) -> Adapter | None:
    """Return the adapter of a pydantic model or dataclass; None for other classes."""
    if hasattr(entity, "__mapper__"):
        return None  # a mapped dataclass, say: its mapping knows more
    if issubclass(entity, BaseModel):
        return PydanticAdapter(entity, list(entity.model_fields))
    if dataclasses.is_dataclass(entity):
        return ObjectAdapter(entity, [f.name for f in dataclasses.fields(entity)])
    return None


def _options(hint: Any, marks: list[object]) -> list[Any]:
    """Return what an annotation admits, and add what it is marked with to *marks*."""
    if get_origin(hint) is Annotated:
        hint, *found = get_args(hint)
        marks += [m() if m in (Key, Unique, Indexed) else m for m in found]
        return _options(hint, marks)
    if get_origin(hint) in (Union, UnionType):
        return [part for each in get_args(hint) for part in _options(each, marks)]
    return [hint]


def _field_info(name: str, options: list[Any], marks: list[object]) -> FieldInfo:
    """Read type and nullability off an annotation; only one class is checked for."""
    nullable = NoneType in options or Any in options
    kinds = [option for option in options if option is not NoneType]
    is_class = len(kinds) == 1 and isinstance(kinds[0], type) and kinds[0] is not Any
    indexed = any(isinstance(mark, Indexed) for mark in marks)
    kind = kinds[0] if is_class else None
    return FieldInfo(name, kind, nullable, indexed=indexed)


def _unique_rules(
    marks: Mapping[str, list[object]], deleted: str | None
) -> tuple[UniqueRule, ...]:
    groups: dict[tuple[str, bool], list[str]] = {}
    for name, found in marks.items():
        for mark in found:
            if isinstance(mark, Unique):
                rule = (mark.name or f"unique_{name}", mark.live)
                groups.setdefault(rule, []).append(name)
    if deleted is None and any(live for _, live in groups):
        raise UsageError("Unique(live=True) needs a field deleted_at: datetime | None")
    alive = None if deleted is None else field(deleted).is_null()
    return tuple(
        UniqueRule(name, tuple(fields), alive if live else None)
        for (name, live), fields in groups.items()
    )
