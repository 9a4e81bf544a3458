"""The tables."""

from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from layerkit.sql import VersionMixin


class Base(DeclarativeBase):
    """Collect the tables of the application."""


class User(VersionMixin, Base):
    """Somebody who has registered; the version is what ETags are made of."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    password_hash: Mapped[str] = mapped_column(String(255))
    is_active: Mapped[bool] = mapped_column(default=True)
