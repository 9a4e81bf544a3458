"""Entities that are pydantic models or dataclasses: fields, keys, rules, copies."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, ClassVar, Optional
from uuid import UUID, uuid4

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    model_validator,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass

from layerkit.core.errors import AlreadyExistsError, UsageError, ValidationError
from layerkit.core.schemas import CreateSchema, UpdateSchema
from layerkit.repository import (
    FieldInfo,
    Inc,
    InMemoryRepository,
    Key,
    MemoryDatabase,
    Repository,
    Unique,
    UniqueRule,
    adapter_for,
    copy_of,
    register_adapter,
)
from layerkit.repository import field as by

SECRET = "s3cret-value"


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


@dataclass
class Everything:
    text: str | None = None
    number: int | None = None
    real: float | None = None
    exact: Decimal | None = None
    flag: bool | None = None
    day: date | None = None
    moment: datetime | None = None
    uid: UUID | None = None
    raw: bytes | None = None
    colour: Colour | None = None
    level: Level | None = None
    anything: Any = None
    either: int | str | None = None
    tags: list[str] = field(default_factory=list)
    id: int | None = None


class Model(BaseModel):
    name: Annotated[str, Unique()]
    tags: list[str] = []
    id: int | None = None


class FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    tags: list[str] = []
    id: int | None = None


@dataclass
class Plain:
    name: Annotated[str, Unique()]
    tags: list[str] = field(default_factory=list)
    id: int | None = None


@dataclass(slots=True)
class Slotted:
    name: str
    tags: list[str] = field(default_factory=list)
    id: int | None = None


@dataclass(frozen=True)
class Frozen:
    name: str
    tags: list[str] = field(default_factory=list)
    id: int | None = None


@dataclass(frozen=True, slots=True)
class FrozenSlotted:
    name: str
    tags: list[str] = field(default_factory=list)
    id: int | None = None


KINDS = [Model, FrozenModel, Plain, Slotted, Frozen, FrozenSlotted]


@dataclass
class Seat:
    row: Annotated[str, Key()]
    number: Annotated[int, Key]
    guest: Annotated[str | None, Unique("guest_night")] = None
    night: Annotated[date | None, Unique("guest_night")] = None


def in_memory(entity: type[Any]) -> Any:
    return InMemoryRepository(model_class=entity)


# What holds for every kind of class


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_is_stored_changed_and_removed(kind: type[Any]) -> None:
    things = in_memory(kind)

    created = await things.create({"name": "a"})
    changed = await things.update(created.id, {"name": "b"})

    assert type(created) is type(changed) is kind
    assert (created.name, created.tags, created.id) == ("a", [], 1)
    assert await things.get_by_id(1) == changed == kind(name="b", tags=[], id=1)
    assert await things.delete(1) is True


@pytest.mark.defect("R20")
@pytest.mark.parametrize("kind", KINDS)
async def test_no_object_is_shared_with_the_store(kind: type[Any]) -> None:
    things = in_memory(kind)
    given = kind(name="a", tags=["in"])
    created = await things.create(given)
    first = await things.get_by_id(created.id)
    found = (await things.find(by("name") == "a"))[0]
    changes = {"tags": ["in"]}
    updated = await things.update(created.id, changes)

    for tags in (given.tags, first.tags, found.tags, updated.tags, changes["tags"]):
        tags.append("changed")

    assert (await things.get_by_id(created.id)).tags == ["in"]


@pytest.mark.parametrize("kind", KINDS)
async def test_create_fills_the_generated_key_into_what_was_passed(
    kind: type[Any],
) -> None:
    given = kind(name="a")

    created = await in_memory(kind).create(given)

    assert created is given
    assert given.id == 1


@pytest.mark.defect("R26")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_schema_changes_only_what_was_set(kind: type[Any]) -> None:
    class Patch(UpdateSchema):
        name: str | None = None
        tags: list[str] | None = None

    things = in_memory(kind)
    await things.create({"name": "a", "tags": ["kept"]})

    changed = await things.update(1, Patch(name="b"))

    assert (changed.name, changed.tags) == ("b", ["kept"])


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unknown_field_is_refused_by_name(kind: type[Any]) -> None:
    things = in_memory(kind)
    await things.create({"name": "a"})

    with pytest.raises(ValidationError, match="'nope'") as on_create:
        await things.create({"name": "b", "nope": SECRET})
    with pytest.raises(ValidationError, match="'nope'") as on_update:
        await things.update(1, {"nope": SECRET})
    with pytest.raises(UsageError, match="'nope'"):
        await things.find(by("nope") == 1)

    assert on_create.value.fields == on_update.value.fields == ("nope",)
    assert SECRET not in str(on_create.value) + str(on_update.value)


@pytest.mark.parametrize("kind", KINDS)
async def test_unknown_names_are_cut_and_counted_and_no_log_has_them(
    kind: type[Any],
) -> None:
    names = {SECRET * 1_000: 1} | {f"{SECRET}{n}": 1 for n in range(99)}

    with pytest.raises(ValidationError) as caught:
        await in_memory(kind).create(names)

    assert len(caught.value.fields) == 10
    assert caught.value.fields[0] == (SECRET * 10)[:64] + "…"
    assert caught.value.message.endswith("and 90 more")
    assert caught.value.logged == f"{kind.__name__} has no such field (100 unknown)"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_missing_field_is_refused_by_name(kind: type[Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        await in_memory(kind).create({"tags": [SECRET]})

    assert refused.value.fields == ("name",)
    assert kind.__name__ in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_null_is_refused_where_none_may_be(kind: type[Any]) -> None:
    things = in_memory(kind)
    await things.create({"name": "a"})

    with pytest.raises(ValidationError) as on_create:
        await things.create({"name": None})
    with pytest.raises(ValidationError) as on_update:
        await things.update(1, {"name": None})

    assert on_create.value.fields == on_update.value.fields == ("name",)


@pytest.mark.parametrize("kind", [Plain, Slotted, Frozen, FrozenSlotted])
async def test_a_null_in_a_dataclass_is_refused_on_create(kind: type[Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        await in_memory(kind).create(kind(name=None))

    assert refused.value.fields == ("name",)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_key_cannot_be_changed(kind: type[Any]) -> None:
    things = in_memory(kind)
    await things.create({"name": "a"})

    with pytest.raises(ValidationError, match="key") as refused:
        await things.update(1, {"id": 5})

    assert refused.value.fields == ("id",)


@pytest.mark.parametrize("data", [None, 5, "name", [("name", "a")], object()])
async def test_what_is_no_data_is_a_usage_error(data: Any) -> None:
    things = in_memory(Plain)

    with pytest.raises(UsageError, match="mapping, got a"):
        await things.create(data)
    with pytest.raises(UsageError, match="mapping, got a"):
        await things.update(1, data)


async def test_an_entity_of_another_class_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="got a Slotted"):
        await in_memory(Plain).create(Slotted("a"))


# Types


WRONG: dict[str, list[Any]] = {
    "text": [1, b"x", True, Level.LOW],
    "number": ["1", 1.0, True, Decimal(1)],
    "real": ["1.0", True, Decimal(1)],
    "exact": ["1", 1.5, True],
    "flag": [1, 0, "true"],
    "day": ["2026-01-01", datetime.now(UTC)],
    "moment": ["2026-01-01", date.today()],  # noqa: DTZ011 - any date will do
    "uid": [str(uuid4()), 1],
    "raw": ["x", 5],
    "colour": ["red", 1],
    "level": [1, "LOW"],
}
RIGHT: dict[str, list[Any]] = {
    "text": ["", "x"],
    "number": [0, 2**70, Level.LOW],
    "real": [1, 1.5],
    "exact": [1, Decimal("1.5")],
    "flag": [True, False],
    "day": [date(2026, 1, 1)],
    "moment": [datetime.now(UTC)],
    "uid": [uuid4()],
    "raw": [b"", bytearray(b"x"), memoryview(b"x")],
    "colour": [Colour.RED],
    "level": [Level.LOW],
    "anything": [1, "x", None, {}],
    "either": [1, "x"],
    "tags": [["x"], []],
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_value_of_another_type_is_refused(name: str) -> None:
    things = in_memory(Everything)
    await things.create({})

    for value in WRONG[name]:
        with pytest.raises(ValidationError, match=f"expected {name}: ") as on_create:
            await things.create({name: value})
        with pytest.raises(ValidationError) as on_update:
            await things.update(1, {name: value})
        with pytest.raises(UsageError, match=f"Everything.{name} holds"):
            await things.find(by(name) == value)
        with pytest.raises(UsageError, match=f"Everything.{name} holds"):
            await things.find(by(name).in_([value]))
        assert on_create.value.fields == on_update.value.fields == (name,)

    assert await things.get_by_id(1) == Everything(id=1)


@pytest.mark.parametrize("name", RIGHT)
def test_a_value_of_the_type_is_accepted(name: str) -> None:
    info = adapter_for(Everything).fields[name]

    assert all(info.accepts(value) for value in [*RIGHT[name], None])


async def test_an_increment_is_checked_by_its_amount() -> None:
    things = in_memory(Everything)
    await things.create({"number": 1})

    for amount in ("one", None, 1.5, True):
        with pytest.raises(ValidationError):
            await things.update(1, {"number": Inc(amount)})
    with pytest.raises(ValidationError):
        await things.update(1, {"anything": Inc(None)})
    await things.update(1, {"anything": Inc(1)})
    raised = await things.update(1, {"number": Inc(2)})
    await things.update(1, {"real": Inc(1)})

    assert raised.number == 3
    assert (await things.get_by_id(1)).real is None


async def test_an_increment_is_no_value_of_a_new_entity() -> None:
    with pytest.raises(ValidationError) as refused:
        await in_memory(Everything).create({"number": Inc(1)})

    assert refused.value.fields == ("number",)


async def test_what_has_no_amount_cannot_be_incremented() -> None:
    things = in_memory(Plain)
    await things.create({"name": "a"})

    with pytest.raises(ValidationError) as refused:
        await things.update(1, {"name": Inc("b")})

    assert refused.value.fields == ("name",)


async def test_a_length_of_time_is_no_number_to_count_up() -> None:
    @dataclass
    class Task:
        left: timedelta
        id: int | None = None

    tasks = in_memory(Task)
    await tasks.create({"left": timedelta(hours=2)})

    with pytest.raises(ValidationError) as refused:
        await tasks.update(1, {"left": Inc(timedelta(hours=-1))})

    assert refused.value.fields == ("left",)


async def test_a_search_in_what_is_no_text_is_refused() -> None:
    with pytest.raises(UsageError, match="holds int"):
        await in_memory(Everything).find(by("number").contains("1"))


def test_fields_are_read_off_the_annotations() -> None:
    @dataclass
    class Hints:
        id: int
        old: Optional[str]  # noqa: UP045 - what users write
        either: int | str
        free: Any
        many: list[int]

    fields = adapter_for(Hints).fields

    assert fields["old"] == FieldInfo("old", str, nullable=True)
    assert (fields["either"].kind, fields["either"].nullable) == (None, False)
    assert (fields["free"].kind, fields["free"].nullable) == (None, True)
    assert (fields["many"].kind, fields["many"].nullable) == (None, False)


# Keys


async def test_a_composite_key_is_a_tuple() -> None:
    seats = in_memory(Seat)
    seat = await seats.create(Seat("A", 1))
    await seats.create(Seat("A", 2, guest="Ada"))

    assert seats.id_of(seat) == ("A", 1)
    assert await seats.get_by_id(("A", 2)) == Seat("A", 2, guest="Ada")
    assert (await seats.update(("A", 1), {"guest": "Bob"})).guest == "Bob"
    assert [s.number for s in await seats.get_all()] == [1, 2]
    assert await seats.exists(["A", 3]) is False
    assert await seats.delete(("A", 1)) is True
    with pytest.raises(ValidationError, match="key"):
        await seats.update(("A", 2), {"row": "B"})


@pytest.mark.parametrize(
    "entity_id",
    ["A", ("A",), ("A", 1, 2), (), ("A", None), None, ("A", "1"), (1, "A"), "A1"],
    ids=repr,
)
async def test_a_key_with_wrong_parts_is_a_usage_error(entity_id: Any) -> None:
    seats = in_memory(Seat)

    for verb in (seats.get_by_id, seats.delete, seats.exists):
        with pytest.raises(UsageError, match="Seat"):
            await verb(entity_id)
    with pytest.raises(UsageError, match="Seat"):
        await seats.update(entity_id, {"guest": "Ada"})


@pytest.mark.parametrize("entity_id", [None, "1", 1.0, True, (1,), [1], {}], ids=repr)
async def test_a_key_of_another_type_is_a_usage_error(entity_id: Any) -> None:
    things = in_memory(Plain)
    await things.create({"name": "a"})

    with pytest.raises(UsageError, match="Plain"):
        await things.get_by_id(entity_id)


@pytest.mark.parametrize("values", [{}, {"id": None}], ids=repr)
async def test_a_key_that_nothing_generates_must_be_given(values: Any) -> None:
    @dataclass
    class Token:
        id: UUID | None = None

    with pytest.raises(ValidationError) as refused:
        await in_memory(Token).create(values)

    assert refused.value.fields == ("id",)


async def test_a_key_with_a_default_is_filled_by_the_class() -> None:
    @dataclass
    class Token:
        id: UUID = field(default_factory=uuid4)

    tokens = in_memory(Token)
    token = await tokens.create({})

    assert await tokens.get_by_id(token.id) == token


async def test_a_given_integer_key_is_kept_and_counted_on_from() -> None:
    things = in_memory(Plain)

    assert (await things.create(Plain("a", id=7))).id == 7
    assert (await things.create(Plain("b"))).id == 8


def test_an_entity_needs_a_key() -> None:
    @dataclass
    class Keyless:
        name: str

    with pytest.raises(UsageError, match=r"Keyless has no key.*Key\(\)"):
        adapter_for(Keyless)


@pytest.mark.parametrize("entity", [int, dict, object, Colour])
def test_a_class_of_another_kind_is_no_entity(entity: type) -> None:
    with pytest.raises(UsageError, match="is no entity"):
        adapter_for(entity)


@pytest.mark.parametrize("thing", ["Plain", Plain("a"), None], ids=type)
def test_what_is_no_class_is_refused_by_its_kind(thing: Any) -> None:
    with pytest.raises(UsageError, match="an entity class is needed, got a"):
        adapter_for(thing)


def test_the_adapter_of_a_class_is_made_once() -> None:
    assert adapter_for(Plain) is adapter_for(Plain)


def test_a_kind_of_class_can_be_registered() -> None:
    class Odd:
        pass

    made = adapter_for(Plain)
    register_adapter(lambda entity: made if entity is Odd else None)

    assert adapter_for(Odd) is made  # type: ignore[comparison-overlap] # a stand-in


# Unique rules


async def test_unique_fields_are_marked() -> None:
    things = in_memory(Plain)
    await things.create({"name": "a"})

    with pytest.raises(AlreadyExistsError) as refused:
        await things.create({"name": "a"})

    assert (refused.value.constraint, refused.value.fields) == (
        "unique_name",
        ("name",),
    )


async def test_fields_that_share_a_name_are_unique_together() -> None:
    night = date(2026, 1, 1)
    seats = in_memory(Seat)
    await seats.create(Seat("A", 1, "Ada", night))

    await seats.create(Seat("A", 2, "Ada", date(2026, 1, 2)))
    await seats.create(Seat("A", 3, "Ada", None))
    await seats.create(Seat("A", 4, "Ada", None))
    with pytest.raises(AlreadyExistsError) as refused:
        await seats.create(Seat("A", 5, "Ada", night))

    assert refused.value.fields == ("guest", "night")
    assert adapter_for(Seat).unique == (UniqueRule("guest_night", ("guest", "night")),)


def test_a_mark_may_be_the_class_itself() -> None:
    @dataclass
    class Marked:
        code: Annotated[str, "other", Key]
        name: Annotated[str, Unique]

    adapter = adapter_for(Marked)

    assert adapter.key == ("code",)
    assert adapter.unique == (UniqueRule("unique_name", ("name",)),)


@pytest.mark.parametrize("mark", [Key(), Unique()])
def test_a_pydantic_field_keeps_its_marks_beside_its_bounds(mark: Any) -> None:
    class Bounded(BaseModel):
        id: int = 0
        code: Annotated[str, Field(max_length=3), mark]

    adapter = adapter_for(Bounded)

    assert adapter.key == (("code",) if isinstance(mark, Key) else ("id",))
    assert adapter.fields["code"].kind is str


def test_a_mark_may_stand_inside_an_optional() -> None:
    @dataclass
    class Marked:
        id: int
        name: Annotated[str, Unique()] | None = None

    adapter = adapter_for(Marked)

    assert adapter.unique == (UniqueRule("unique_name", ("name",)),)
    assert adapter.fields["name"] == FieldInfo("name", str, nullable=True)


# What the classes themselves refuse


async def test_pydantic_refusals_name_fields_and_show_no_input() -> None:
    class Account(BaseModel):
        model_config = ConfigDict(extra="forbid")

        name: Annotated[str, Field(max_length=3)]
        id: int | None = None

    with pytest.raises(ValidationError) as refused:
        await in_memory(Account).create({"name": SECRET})

    assert refused.value.fields == ("name",)
    assert SECRET not in str(refused.value)
    assert SECRET not in str(refused.value.detail)
    assert refused.value.detail["errors"][0]["field"] == "name"


async def test_a_pydantic_dataclass_refuses_as_a_model_does() -> None:
    @pydantic_dataclass
    class Account:
        name: Annotated[str, Field(max_length=3)]
        id: int | None = None

    with pytest.raises(ValidationError) as refused:
        await in_memory(Account).create({"name": SECRET})

    assert refused.value.fields == ("name",)
    assert SECRET not in str(refused.value.detail)


@pytest.fixture(params=["as it is", "before 2.11"])
def release(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pydantic, and an older release of it, whose validation takes no names."""
    if request.param == "before 2.11":
        monkeypatch.setattr("layerkit.repository.entities.objects._HAS_BY_NAME", False)


@pytest.mark.usefixtures("release")
async def test_an_aliased_field_is_stored_by_its_name() -> None:
    class Account(BaseModel):
        full_name: str = Field(alias="fullName")
        id: int | None = None

    accounts = in_memory(Account)

    created = await accounts.create({"full_name": "Ada"})
    await accounts.update(1, {"full_name": "Bob"})

    assert created == Account(fullName="Ada", id=1)
    assert await accounts.get_by_id(1) == Account(fullName="Bob", id=1)


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize(
    "alias",
    [
        AliasChoices("mail", "email"),
        AliasPath("contact", "mail"),
        AliasPath("contact", 0, "mail"),
        AliasChoices(AliasPath("contact", "mail"), "mail"),
    ],
    ids=str,
)
async def test_any_kind_of_alias_is_for_what_comes_from_outside(
    alias: AliasChoices | AliasPath,
) -> None:
    class Account(BaseModel):
        model_config = ConfigDict(extra="forbid")

        name: str
        email: str = Field(validation_alias=alias)
        phone: str = Field(validation_alias=AliasPath("contact", "phone"))
        id: int | None = None

    made = await in_memory(Account).create({"name": "a", "email": "b", "phone": "c"})

    assert (made.name, made.email, made.phone, made.id) == ("a", "b", "c", 1)


@pytest.mark.usefixtures("release")
async def test_an_alias_may_be_the_name_of_another_field() -> None:
    class Node(BaseModel):
        parent: int = Field(alias="id")
        id: int = Field(alias="parent")

    nodes = in_memory(Node)

    await nodes.create(Node.model_validate({"id": 2, "parent": 1}))

    found = await nodes.get_by_id(1)
    assert (found.id, found.parent) == (1, 2)


@pytest.mark.usefixtures("release")
async def test_a_refusal_names_an_aliased_field_by_its_name() -> None:
    class Account(BaseModel):
        full_name: str = Field(alias="fullName", max_length=3)
        id: int | None = None

    with pytest.raises(ValidationError) as refused:
        await in_memory(Account).create({"full_name": SECRET})

    assert refused.value.fields == ("full_name",)


async def test_what_the_constructor_does_not_take_is_refused_by_name() -> None:
    @dataclass
    class Counted:
        id: int | None = None
        hits: int = field(default=0, init=False)

    counted = in_memory(Counted)

    with pytest.raises(ValidationError, match="does not take hits") as refused:
        await counted.create({"hits": 1})
    assert refused.value.fields == ("hits",)
    assert (await counted.create({})).hits == 0


async def test_private_attributes_have_their_defaults_again() -> None:
    class Account(BaseModel):
        name: str
        id: int | None = None
        _events: list[str] = PrivateAttr(default_factory=list)

    accounts = in_memory(Account)
    account = Account(name="a")
    account._events.append("made")
    await accounts.create(account)

    assert (await accounts.get_by_id(1))._events == []


@pytest.mark.defect("R12")
@pytest.mark.parametrize("error", [AttributeError, TypeError, ValueError, KeyError])
async def test_an_error_in_a_constructor_of_the_users_passes(
    error: type[Exception],
) -> None:
    @dataclass
    class Faulty:
        name: str
        id: int | None = None

        def __post_init__(self) -> None:
            raise error(SECRET)

    with pytest.raises(error, match=SECRET):
        await in_memory(Faulty).create({"name": "a"})


async def test_a_class_variable_is_no_field() -> None:
    @dataclass
    class Counted:
        id: int | None = None
        made: ClassVar[int] = 0

    assert list(adapter_for(Counted).fields) == ["id"]


async def test_a_schema_makes_an_entity() -> None:
    class New(CreateSchema):
        name: str
        tags: list[str] = Field(default_factory=lambda: ["default"])

    created = await in_memory(Plain).create(New(name="a"))

    assert created == Plain("a", ["default"], 1)


# Copies


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_shares_nothing(kind: type[Any]) -> None:
    thing = kind(name="a", tags=["x"], id=1)

    copied = copy_of(thing)
    copied.tags.append("y")

    assert type(copied) is kind
    assert (thing.name, thing.tags, copied.name) == ("a", ["x"], "a")


def test_what_is_no_entity_is_copied_too() -> None:
    thing = {"tags": ["x"]}

    copied = copy_of(thing)
    copied["tags"].append("y")

    assert thing == {"tags": ["x"]}


async def test_classes_of_one_database_are_kept_apart() -> None:
    database = MemoryDatabase()
    plain = Repository[Plain, int](database, Plain)
    slotted = Repository[Slotted, int](database, Slotted)

    await plain.create({"name": "a"})

    assert await slotted.count() == 0
    assert (await slotted.create({"name": "a"})).id == 1


# The rules of a model hold for its changes too


class Span(BaseModel):
    name: Annotated[str, StringConstraints(min_length=2, to_lower=True)] = "any"
    low: Annotated[int, Field(ge=0)] = 0
    high: int = 5
    id: int | None = None

    @model_validator(mode="after")
    def _check(self) -> "Span":
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


async def test_a_change_keeps_the_rules_of_the_model() -> None:
    spans = in_memory(Span)
    await spans.create(Span())

    with pytest.raises(ValidationError, match="Span can't be changed") as refused:
        await spans.update(1, {"name": "\u2028", "low": -77})
    with pytest.raises(ValidationError, match="Span can't be changed"):
        await spans.update(1, {"low": Inc(-77)})
    with pytest.raises(ValidationError) as crossed:
        await spans.update(1, {"low": 6})

    assert refused.value.detail["fields"] == ["name", "low"]
    assert "2028" not in repr(refused.value.detail)
    assert "77" not in repr(refused.value.detail)
    assert "low is above high" in repr(crossed.value.detail)
    assert await spans.get_by_id(1) == Span(id=1)


async def test_changes_are_checked_together_and_stored_as_the_model_has_them() -> None:
    spans = in_memory(Span)
    await spans.create(Span())

    changed = await spans.update(1, {"low": 7, "high": 9, "name": "ABC"})

    assert changed == Span(name="abc", low=7, high=9, id=1)
    assert await spans.get_by_id(1) == changed


async def test_an_attribute_keeps_the_rules_of_the_model() -> None:
    spans = in_memory(Span)
    await spans.create(Span())

    with pytest.raises(ValidationError) as refused:
        async with spans.unit_of_work():
            (await spans.get_by_id(1)).low = -1
    async with spans.unit_of_work():
        (await spans.get_by_id(1)).name = "ABC"

    assert refused.value.detail["fields"] == ["low"]
    assert (await spans.get_by_id(1)).name == "abc"


@dataclass
class Stamped:
    id: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


async def test_a_stamp_that_a_new_entity_brings_is_kept() -> None:
    repository = Repository[Stamped, int](MemoryDatabase(), Stamped)
    then = datetime(2001, 1, 1, tzinfo=UTC)

    made = await repository.create({"created_at": then})

    assert made.created_at == then
    assert made.updated_at is not None
    assert made.updated_at > then


async def test_a_constructor_that_needs_more_is_told_just_what_it_lacks() -> None:
    @dataclass
    class Pair:
        left: str | None
        right: str | None
        id: int | None = None

    pairs = in_memory(Pair)

    with pytest.raises(ValidationError, match="a Pair needs right") as refused:
        await pairs.create({"left": "a"})

    assert refused.value.fields == ("right",)
