"""What is known of one session, under the one key of its ``info`` that is ours."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from weakref import WeakSet

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstanceState, Session, SessionTransaction, registry

from layerkit.unit_of_work.transaction import Block

_KEY: Final = "layerkit.state"

Loaded: TypeAlias = list[tuple[Any, dict[str, Any]]]
"""Objects, and the column values that they had."""


class Copy(NamedTuple):
    """What an attribute holds, and what that was when it was last looked at."""

    value: Any
    before: Any


class Holder(NamedTuple):
    """An object, held fast so that nobody's change goes with it, and its copies."""

    entity: object
    copies: dict[str, Copy]


class Unit(Protocol):
    """A unit of work on the session, as the session's events see it.

    Attributes:
        blocks: Its open blocks; none before it begins and once it has ended.
    """

    blocks: list[Block]

    def mark_rollback_only(self, cause: BaseException) -> None:
        """Let nothing of the unit commit."""

    def note_flush(self, session: Session) -> None:
        """Count what is about to be flushed."""

    def note_end(self) -> None:
        """Hear that the session's transaction has ended."""


@dataclass(eq=False)
class SessionState:
    """What verbs and listeners know of a session.

    Attributes:
        units: The units of work whose session it is, the innermost one last; none on a
            session that no home of layerkit has seen, or has done with.
        registries: Where the classes of its repositories are mapped.
        has_written: True once the running transaction has written, be it by a stranger.
        is_checked: True while a verb flushes what it has checked itself.
        changed: The columns that the running flush changes.
        holders: The objects of the open unit that hold collections.
        kept: What was loaded when the last rollback began.
        committed: The transaction that is about to end by a commit.
    """

    units: list[Unit] = field(default_factory=list)
    registries: set[registry] = field(default_factory=set)
    has_written: bool = False
    is_checked: bool = False
    changed: set[ColumnElement[Any]] = field(default_factory=set)
    holders: dict[InstanceState[Any], Holder] = field(default_factory=dict)
    kept: Loaded = field(default_factory=list)
    committed: SessionTransaction | None = None

    @cached_property  # a session that reads needs neither, and they are slow to make
    def expired(self) -> WeakSet[InstanceState[Any]]:
        """The objects that may have lost values."""
        return WeakSet()

    @cached_property
    def moved(self) -> WeakSet[InstanceState[Any]]:
        """The objects whose rows may have changed."""
        return WeakSet()

    @property
    def unit(self) -> Unit | None:
        """The innermost open unit of work on the session."""
        for unit in reversed(self.units):
            if unit.blocks:
                return unit
        return None

    def take_kept(self) -> Loaded:
        """Return what was loaded when the last rollback began, and forget it."""
        kept, self.kept = self.kept, []
        return kept


def state_of(session: AsyncSession | Session) -> SessionState | None:
    """Return what is known of *session*; None where nothing is."""
    found: SessionState | None = session.info.get(_KEY)
    return found


def ensure_state(session: AsyncSession | Session) -> SessionState:
    """Return what is known of *session*, which begins with nothing."""
    found: SessionState | None = session.info.get(_KEY)
    if found is None:
        found = session.info[_KEY] = SessionState()
    return found
