"""A model, a repository, a service and a factory, on SQLite in memory."""

import asyncio

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit import AlreadyExistsError, BaseService, Repository, ServiceFactory, field
from layerkit.sql import Database


class Base(DeclarativeBase):
    """The tables."""


class User(Base):
    """A model is plain SQLAlchemy."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)


class UserRepository(Repository[User, int]):
    """A repository inherits its verbs, and adds finders."""

    async def at(self, host: str) -> list[User]:
        """Return the users whose e-mail is at *host*."""
        return await self.find(field("email").endswith(f"@{host}"))


class UserService(BaseService[User, int]):
    """A service has the rules; each of its calls is one unit of work."""

    async def register(self, *emails: str) -> None:
        """Store a user for each e-mail, or none at all."""
        async with self.unit_of_work():
            for email in emails:
                await self.create_entity({"email": email})


async def main() -> None:
    """Register two users, and fail to register two more."""
    async with Database("sqlite://") as database:  # a file is sqlite:///users.db
        await database.create_all(Base.metadata)
        factory = ServiceFactory().value(database)
        factory.scoped(UserRepository).scoped(UserService)
        async with factory, factory.scope() as scope:
            users = await scope.get(UserRepository)
            service = await scope.get(UserService)
            await service.register("ada@example.org", "alan@example.com")
            for user in await users.at("example.org"):
                print(f"at example.org: {user.email}")
            try:
                await service.register("grace@example.org", "ada@example.org")
            except AlreadyExistsError as error:
                print(f"refused: {error}; still {await users.count()} users")


if __name__ == "__main__":
    asyncio.run(main())
