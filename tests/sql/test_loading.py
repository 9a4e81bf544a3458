"""What is loaded, what reading the rest does, and that no option stays on objects."""

import gc
import pickle
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import ForeignKey, String, create_engine, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession, async_sessionmaker
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    WriteOnlyCollection,
    WriteOnlyMapped,
    configure_mappers,
    deferred,
    joinedload,
    mapped_column,
    raiseload,
    relationship,
    selectinload,
    undefer,
)

from layerkit.core.errors import UsageError
from layerkit.repository import ALL, Inc, field
from layerkit.sql import Database, SQLRepository, statements
from layerkit.sql.session import unit_of
from tests.support.databases import new_tables

pytestmark = pytest.mark.unmeasured


class Base(AsyncAttrs, DeclarativeBase):
    """Hold the tables of the tests of what is loaded."""


class User(Base):
    __tablename__ = "loading_users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    bio: Mapped[str | None] = deferred(mapped_column(String(20)))
    visits: Mapped[int] = mapped_column(default=0)
    tokens: Mapped[list["Token"]] = relationship(back_populates="user")
    notes: WriteOnlyMapped["Note"] = relationship()


class Token(Base):
    __tablename__ = "loading_tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(20))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("loading_users.id"))
    user: Mapped[User | None] = relationship(back_populates="tokens")


class Note(Base):
    __tablename__ = "loading_notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("loading_users.id"))


class Users(SQLRepository[User, int]): ...


class Tokens(SQLRepository[Token, int]): ...


class LoadedUsers(SQLRepository[User, int]):
    load = (selectinload(User.tokens),)


Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
async def loading(url: str) -> AsyncIterator[Database]:
    """A user with two tokens."""
    async with Database(url) as database:
        await new_tables(database.engine, Base.metadata)
        tokens = [Token(text="a"), Token(text="b")]
        await Users(database).create(User(name="Ada", bio="long", tokens=tokens))
        yield database


@pytest.fixture
def sessions(loading: Database) -> Sessions:
    return async_sessionmaker(loading.engine, expire_on_commit=False)


def texts(tokens: list[Token]) -> list[str]:
    return [token.text for token in tokens]


async def by_get(users: Users) -> User:
    found = await users.get_by_id(1)
    assert found is not None
    return found


async def by_find(users: Users) -> User:
    return (await users.find(field("name") == "Ada", [field("bio").asc()]))[0]


async def by_update(users: Users) -> User:
    found = await users.update(1, {"visits": Inc(1)})
    assert found is not None
    return found


async def by_upsert(users: Users) -> User:
    return await users.upsert({"id": 1, "name": "Ada"}, key="id")


async def by_own_select(users: Users) -> User:
    return (await users.all(users.select()))[0]


async def by_lock(users: Users) -> User:
    async with users.unit_of_work():
        found = await users.get_by_id(1, lock="wait")
        assert found is not None
        return found


Verb = Callable[[Users], Any]
VERBS: list[Verb] = [by_get, by_find, by_update, by_upsert, by_own_select, by_lock]


# Nothing of ours stays on objects


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("is_loaded_before", [True, False])
async def test_what_a_verb_has_read_loads_as_the_mapping_says_on_a_callers_session(
    sessions: Sessions, verb: Verb, is_loaded_before: bool
) -> None:
    async with sessions() as session:
        own = await session.get(User, 1) if is_loaded_before else None
        user = await verb(Users(session))

        assert own is None or own is user
        assert not inspect(user).load_options
        assert texts(await user.awaitable_attrs.tokens) == ["a", "b"]
        assert await user.awaitable_attrs.bio == "long"
        await session.refresh(user)
        session.expire(user)
        assert await user.awaitable_attrs.name == "Ada"
        assert texts(await user.awaitable_attrs.tokens) == ["a", "b"]


async def test_what_a_verb_has_brought_along_loads_as_the_mapping_says(
    sessions: Sessions,
) -> None:
    async with sessions() as session:
        user = await LoadedUsers(session).get_by_id(1)
        assert user is not None
        token = user.tokens[0]
        session.expire(token)

        assert await token.awaitable_attrs.user is user
        assert await token.awaitable_attrs.text == "a"


async def test_a_users_own_statement_after_ours_loads_what_it_names(
    sessions: Sessions,
) -> None:
    async with sessions() as session:
        user = await by_get(Users(session))

        await session.scalars(select(User).options(selectinload(User.tokens)))

        assert texts(user.tokens) == ["a", "b"]


async def test_an_option_of_the_applications_own_stays_as_it_is(
    sessions: Sessions,
) -> None:
    async with sessions() as session:
        own = select(User).options(raiseload(User.tokens))
        user = (await session.scalars(own)).one()
        assert await by_get(Users(session)) is user

        with pytest.raises(Exception, match="raise"):
            await user.awaitable_attrs.tokens


# Inside a unit


@pytest.mark.parametrize("of_the_caller", [True, False])
async def test_awaitable_attributes_work_inside_a_unit(
    loading: Database, sessions: Sessions, of_the_caller: bool
) -> None:
    async with sessions() as session:
        users = Users(session if of_the_caller else loading)
        async with users.unit_of_work():
            user = await by_get(users)
            token = (await user.awaitable_attrs.tokens)[0]

            assert token.user is user
            assert await user.awaitable_attrs.bio == "long"

        assert texts(user.tokens) == ["a", "b"]


@pytest.mark.parametrize("of_the_caller", [True, False])
async def test_an_unloaded_attribute_raises_with_its_name_and_the_remedy(
    loading: Database, sessions: Sessions, of_the_caller: bool
) -> None:
    async with sessions() as session:
        source = session if of_the_caller else loading
        users, tokens = Users(source), Tokens(source)
        async with users.unit_of_work():
            token = (await tokens.find(ALL))[0]
            with pytest.raises(UsageError, match=r"Token\.user was not .*`load`.*\['u"):
                _ = token.user
            user = await by_get(users)
            with pytest.raises(UsageError, match=r"User\.tokens .*awaitable_attrs"):
                _ = user.tokens
            with pytest.raises(UsageError, match=r"User\.bio was not .*\['bio'\]"):
                _ = user.bio

            await users.db_session.refresh(user, ["tokens", "bio"])
            assert (texts(user.tokens), user.bio) == (["a", "b"], "long")


async def test_an_expired_column_raises_with_its_name(sessions: Sessions) -> None:
    async with sessions() as session:
        user = await by_get(Users(session))
        session.expire(user, ["name"])

        with pytest.raises(UsageError, match=r"User\.name .*or has expired"):
            _ = user.name


async def test_a_column_of_what_load_has_brought_raises_with_its_name(
    loading: Database,
) -> None:
    class Loaded(SQLRepository[Token, int]):
        load = (joinedload(Token.user),)

    tokens = Loaded(loading)
    async with tokens.unit_of_work():
        token = (await tokens.find(ALL))[0]
        assert token.user is not None

        with pytest.raises(UsageError, match=r"User\.bio was not loaded"):
            _ = token.user.bio


async def test_the_identity_map_answers_without_a_statement(loading: Database) -> None:
    users, tokens = Users(loading), Tokens(loading)
    async with users.unit_of_work():
        user = await by_get(users)
        token = (await tokens.find(ALL))[0]

        with statements(max=0):
            assert token.user is user


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")  # SQLAlchemy's own
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_session_without_a_repository_is_left_alone(sessions: Sessions) -> None:
    async with sessions() as session:
        user = await session.get_one(User, 1)

        with pytest.raises(SQLAlchemyError, match="greenlet"):
            _ = user.tokens
        gc.collect()


def test_a_synchronous_session_may_load_by_itself() -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(User(id=1, name="Ada", bio="long", tokens=[Token(text="a")]))
        session.commit()

    with Session(engine) as session:
        unit_of(session)
        user = session.get_one(User, 1)

        assert (texts(user.tokens), user.bio) == (["a"], "long")
    engine.dispose()


# After the unit


@pytest.mark.parametrize("verb", VERBS)
async def test_what_a_unit_has_not_loaded_raises_with_name_and_remedy_after_it(
    loading: Database, verb: Verb
) -> None:
    user = await verb(Users(loading))

    with pytest.raises(UsageError, match=r"User\.tokens was not loaded.*`load`.*\['to"):
        _ = user.tokens
    assert (user.id, user.name) == (1, "Ada")
    assert isinstance(user.notes, WriteOnlyCollection)


@pytest.mark.parametrize("is_pickled", [True, False])
async def test_an_object_that_comes_into_a_session_again_loads_there(
    loading: Database, sessions: Sessions, is_pickled: bool
) -> None:
    user = await by_get(Users(loading))
    if is_pickled:
        user = pickle.loads(pickle.dumps(user))  # noqa: S301 - our own
    with pytest.raises(UsageError, match=r"User\.bio was not loaded"):
        _ = user.bio

    async with sessions() as session:
        session.add(user)
        assert await user.awaitable_attrs.bio == "long"
        assert texts(await user.awaitable_attrs.tokens) == ["a", "b"]
        merged = await session.merge(await by_get(Users(loading)))
        assert merged is user


async def test_a_history_of_what_was_not_loaded_is_no_error(loading: Database) -> None:
    token = (await Tokens(loading).find(ALL))[0]

    token.user = User(name="Bob")

    assert token.user.name == "Bob"


# What is there after a verb


class Shop(Base):
    """Bring its goods by a second statement, and its owner by the same."""

    __tablename__ = "loading_shops"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("loading_users.id"))
    owner: Mapped[User | None] = relationship(lazy="joined")
    goods: Mapped[list["Good"]] = relationship(lazy="selectin")
    doors: Mapped[list["Door"]] = relationship()


class Good(Base):
    __tablename__ = "loading_goods"
    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int | None] = mapped_column(ForeignKey("loading_shops.id"))
    maker_id: Mapped[int | None] = mapped_column(ForeignKey("loading_users.id"))
    maker: Mapped[User | None] = relationship(lazy="immediate")


class Door(Base):
    __tablename__ = "loading_doors"
    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int | None] = mapped_column(ForeignKey("loading_shops.id"))
    keys: Mapped[list["Key"]] = relationship(lazy="subquery")


class Key(Base):
    __tablename__ = "loading_keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    door_id: Mapped[int | None] = mapped_column(ForeignKey("loading_doors.id"))


class Shops(SQLRepository[Shop, int]): ...


class LoadedShops(SQLRepository[Shop, int]):
    load = (selectinload(Shop.doors).selectinload(Door.keys),)


async def by_create(shops: Shops | LoadedShops) -> Shop:
    return await shops.create({"id": 1, "owner_id": 1})


async def by_create_many(shops: Shops | LoadedShops) -> Shop:
    items = [{"owner_id": 1}, {"owner_id": 1}]
    return (await shops.create_many(items, returning=True))[1]


async def by_create_many_of_entities(shops: Shops | LoadedShops) -> Shop:
    items = [Shop(id=1, owner_id=1)]
    return (await shops.create_many(items, returning=True))[0]


async def by_create_and_get(shops: Shops | LoadedShops) -> Shop:
    await shops.create({"id": 1, "owner_id": 1})
    found = await shops.get_by_id(1)
    assert found is not None
    return found


async def by_upsert_of_a_new_one(shops: Shops | LoadedShops) -> Shop:
    return await shops.upsert({"id": 1, "owner_id": 1}, key="id")


CREATING = [
    by_create,
    by_create_many,
    by_create_many_of_entities,
    by_create_and_get,
    by_upsert_of_a_new_one,
]


@pytest.mark.parametrize("verb", CREATING)
@pytest.mark.parametrize("in_unit", [True, False])
async def test_what_the_mapping_loads_eagerly_is_there_after_each_verb(
    loading: Database, verb: Any, in_unit: bool
) -> None:
    if in_unit:
        async with loading.unit_of_work():
            shop = await verb(Shops(loading))
    else:
        shop = await verb(Shops(loading))

    assert shop.owner is not None
    assert (shop.owner.name, shop.goods) == ("Ada", [])
    with pytest.raises(UsageError, match=r"Shop\.doors was not loaded"):
        _ = shop.doors


@pytest.mark.parametrize("verb", CREATING)
async def test_what_load_names_is_there_after_each_verb(
    loading: Database, verb: Any
) -> None:
    shop = await verb(LoadedShops(loading))

    assert shop.owner is not None
    assert (shop.owner.name, shop.goods, shop.doors) == ("Ada", [], [])


async def test_what_an_entity_brings_along_has_its_own_eager_relations(
    loading: Database,
) -> None:
    goods = [Good(maker_id=1), Good(maker_id=1), Good()]
    shop = await Shops(loading).create(Shop(goods=goods, doors=[Door()]))

    assert shop.owner is None
    assert [good.maker.name if good.maker else None for good in shop.goods] == [
        "Ada",
        "Ada",
        None,
    ]
    assert shop.doors[0].keys == []


async def test_load_reaches_what_an_entity_has_brought_along(loading: Database) -> None:
    class Chained(SQLRepository[Shop, int]):
        load = (selectinload(Shop.owner).selectinload(User.tokens),)

    shop = await Chained(loading).create({"owner_id": 1})

    assert shop.owner is not None
    assert texts(shop.owner.tokens) == ["a", "b"]


async def test_what_a_unit_holds_is_completed_by_a_repository_that_loads_more(
    loading: Database,
) -> None:
    shops, loaded = Shops(loading), LoadedShops(loading)
    await shops.create(Shop(id=1, doors=[Door(keys=[Key()])]))
    async with loading.unit_of_work():
        held = await shops.get_by_id(1)

        found = await loaded.get_by_id(1)

        assert found is not None
        assert found is held
        assert len(found.doors[0].keys) == 1
        with statements(max=0):
            assert await loaded.get_by_id(1) is held
        loaded.db_session.expire(found.doors[0], ["keys"])
        assert await loaded.get_by_id(1) is held
        assert len(found.doors[0].keys) == 1


async def test_an_option_for_columns_or_everything_is_no_relationship(
    loading: Database,
) -> None:
    class Odd(SQLRepository[User, int]):
        load = (undefer(User.bio), raiseload("*"))

    users = Odd(loading)
    async with users.unit_of_work():
        user = await users.create({"name": "Bob"})
        held = await users.get_by_id(user.id)

        assert held is user
        assert held.bio is None


async def test_a_key_that_is_held_and_stored_again_brings_its_relations(
    loading: Database,
) -> None:
    shops = Shops(loading)
    await shops.create({"id": 1})
    async with shops.unit_of_work():
        held = await shops.get_by_id(1)
        await shops.db_session.execute(text("DELETE FROM loading_shops"))

        stored = await LoadedShops(loading).create({"id": 1, "owner_id": 1})

        assert stored is held
        assert stored.owner is not None
        assert stored.doors == []


async def test_a_backref_that_comes_after_the_first_read_is_explained_too() -> None:
    class Late(DeclarativeBase):
        """Hold two tables."""

    class Parent(Late):
        __tablename__ = "late_parents"
        id: Mapped[int] = mapped_column(primary_key=True)

    async with Database("sqlite://") as database:
        await database.create_all(Late.metadata)
        parents = SQLRepository[Parent, int](database, Parent)
        await parents.create(Parent(id=1))
        await parents.get_all()

        class Child(Late):
            __tablename__ = "late_children"
            id: Mapped[int] = mapped_column(primary_key=True)
            parent_id: Mapped[int] = mapped_column(ForeignKey("late_parents.id"))
            parent = relationship(Parent, backref="children")

        configure_mappers()
        found: Any = (await parents.get_all())[0]

        with pytest.raises(UsageError, match="children was not loaded"):
            found.children  # noqa: B018 - the reading is refused
        assert Child.__tablename__ == "late_children"
