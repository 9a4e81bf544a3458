"""Foreign keys in memory: which classes refer to which, and what a change leads to.

A row that is written must find what it refers to, at once or at the commit. What refers
to a row that is lost is seen to at the end of the statement, as in SQL: by the mapping
of the class first, then by the foreign keys.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from layerkit.core.errors import ConflictError
from layerkit.repository.entities import EntityAdapter
from layerkit.repository.fields import Action, ForeignKeyRule, KeyTuple, UniqueRule
from layerkit.repository.overlay import OverlayTransaction
from layerkit.repository.query import ALL
from layerkit.repository.tables import Deferred, Lost, Row

Adapter: TypeAlias = EntityAdapter[Any]
Moves: TypeAlias = dict[KeyTuple, KeyTuple | None]
"""What values have become that others refer to; None where their row is deleted."""

_REFUSING: Final = frozenset({"NO ACTION", "RESTRICT"})


@dataclass(frozen=True, slots=True, eq=False)
class Parent:
    """Be a class that a foreign key refers to.

    Attributes:
        adapter: What is known of it.
        fields: Those that are referred to, in the order of the foreign key.
        unique: The rule that they are unique by.
    """

    adapter: Adapter
    fields: tuple[str, ...]
    unique: UniqueRule


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """Be a foreign key between known classes; two may be mapped to one table."""

    child: Adapter
    rule: ForeignKeyRule
    parents: tuple[Parent, ...]

    async def leads(self, transaction: OverlayTransaction, value: KeyTuple) -> bool:
        """Tell whether there is a row that *value* refers to."""
        for parent in self.parents:
            given = dict(zip(parent.fields, value, strict=True))
            sought = tuple(given[name] for name in parent.unique.fields)
            if await transaction.holder(parent.adapter, parent.unique, sought):
                return True
        return False

    async def dangles(self, transaction: OverlayTransaction, lost: Moves) -> bool:
        """Tell whether a row refers to one of the *lost* values, and to nothing now."""
        gone = {v for v in lost if not await self.leads(transaction, v)}
        rows = await transaction.rows(self.child, ALL) if gone else []
        return any(_value(row, self.rule.fields) in gone for _, row in rows)


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Say what becomes of rows that have the values of a row that is lost.

    Attributes:
        owner: The class that loses a row.
        fields: Its fields.
        other: The class whose rows go by it.
        others: The fields of that one.
        on_delete: What becomes of them.
        on_update: The same where the row is there, and has other values.
        link: The foreign key that says so; None where the mapping does.
    """

    owner: Adapter
    fields: tuple[str, ...]
    other: Adapter
    others: tuple[str, ...]
    on_delete: Action
    on_update: Action = "NO ACTION"
    link: Link | None = None

    def action(self, now: KeyTuple | None) -> Action:
        """Return what becomes of rows with values that are *now* others, or gone."""
        return self.on_delete if now is None else self.on_update

    def rewritten(self, row: Row, values: KeyTuple) -> Row:
        """Return *row* of the other class with *values* of what it goes by.

        Raises:
            ValidationError: A null goes where none may be.
        """
        changes = dict(zip(self.others, values, strict=True))
        self.other.check_nulls(changes)
        if self.link is None:  # as any update by the mapping
            return self.other.rewritten(row, changes)
        return {**row, **changes}


@dataclass(slots=True)
class Ties:
    """Hold what ties a class to others: its foreign keys, and what goes by its rows."""

    links: list[Link] = field(default_factory=list)
    mapped: list[Spread] = field(default_factory=list)
    referring: list[Spread] = field(default_factory=list)


class References:
    """Keep the foreign keys between the classes of a home that are known to it."""

    def __init__(self) -> None:
        self._known: dict[type, Adapter] = {}
        self._ties: dict[type, Ties] | None = None

    def add(self, adapter: Adapter) -> None:
        """Let a class be known."""
        if adapter.entity not in self._known:
            self._known[adapter.entity], self._ties = adapter, None

    def of(self, entity: type) -> Ties | None:
        """Return what ties a class to others, or None."""
        if self._ties is None:  # looked for late: a class may be defined after another
            self._ties = _ties_of(list(self._known.values()))
        return self._ties.get(entity)

    async def note(
        self,
        transaction: OverlayTransaction,
        entity: type,
        old: Row | None,
        new: Row | None,
    ) -> None:
        """Check a row that was written, and remember what others may refer to.

        Raises:
            ConflictError: It refers to nothing.
        """
        ties = self.of(entity)
        if ties is None:
            return
        for link in ties.links if new is not None else ():
            value = _value(new, link.rule.fields)
            if value is None or value == _value(old, link.rule.fields):
                continue
            if link.rule.deferred:
                transaction.top.deferred.append((link, value))
            elif not await link.leads(transaction, value):
                error = mismatch(link.rule.name, link.rule.fields)
                raise error
        if old is not None and (ties.mapped or ties.referring):
            transaction.top.lost.append((entity, old, new))

    async def settle(self, transaction: OverlayTransaction) -> None:
        """Do to what refers to lost rows what the mappings and foreign keys say.

        Raises:
            ConflictError: Some of it has to stay.
            ValidationError: A null goes where none may be.
        """
        lost = every = _taken(transaction)
        while lost:  # what the mapping does goes on by itself, and comes first
            for spread, moves in self._spreads(lost, by_mapping=True):
                await _follow(transaction, spread, moves)
            lost = _taken(transaction)
            every = [*every, *lost]
        kept: list[tuple[Spread, Moves]] = []
        while every:
            for spread, moves in self._spreads(every, by_mapping=False):
                kept.append((spread, await _follow(transaction, spread, moves)))
            every = _taken(transaction)
        for spread, moves in kept:
            await _check_kept(transaction, spread, moves)

    async def check(
        self, transaction: OverlayTransaction, deferred: Sequence[Deferred]
    ) -> None:
        """Check what was put off to the commit.

        Raises:
            ConflictError: A row refers to nothing.
        """
        links: dict[Any, Moves] = defaultdict(dict)
        for link, value in deferred:
            links[link][value] = None
        for link, values in links.items():
            if await link.dangles(transaction, values):
                error = mismatch(link.rule.name, link.rule.fields)
                raise error

    def _spreads(
        self, lost: Sequence[Lost], *, by_mapping: bool
    ) -> Iterator[tuple[Spread, Moves]]:
        """Yield what goes by *lost* rows, and what has become of their values."""
        by_class: dict[type, list[Lost]] = defaultdict(list)
        for change in lost:
            by_class[change[0]].append(change)
        for entity, changes in by_class.items():
            ties = self.of(entity) or Ties()
            for spread in ties.mapped if by_mapping else ties.referring:
                moves: Moves = {}
                for _, old, new in changes:
                    value, names = _value(old, spread.fields), spread.fields
                    now = None if new is None else tuple(new[name] for name in names)
                    if value is not None and value != now:
                        moves[value] = now
                if moves:
                    yield spread, moves


async def _follow(
    transaction: OverlayTransaction, spread: Spread, moves: Moves
) -> Moves:
    """Do what *spread* says, and return the values that nothing may refer to.

    Raises:
        AlreadyExistsError: A key that follows is another row's.
        ValidationError: A null goes where none may be.
    """
    refused: Moves = {}
    followed: Moves = {}
    for value, now in moves.items():
        is_refused = spread.action(now) in _REFUSING
        (refused if is_refused else followed)[value] = now
    other, written = spread.other, []
    for key, row in await transaction.rows(other, ALL) if followed else ():
        held = _value(row, spread.others)
        if held is not None and held in followed:
            becomes = followed[held]
            if spread.action(becomes) != "CASCADE":
                becomes = (None,) * len(held)  # no table here has defaults of its own
            if becomes is None:
                await transaction.remove(other, key)
                continue
            fresh = spread.rewritten(row, becomes)
            at = tuple(fresh[name] for name in other.key)
            written.append((at, at != key, fresh, row))
            if at != key:  # all leave before one arrives, and what refers goes along
                await OverlayTransaction.remove(transaction, other, key)
    for at, is_moved, fresh, row in written:
        if is_moved and await transaction.row(other, at) is not None:
            transaction.refuse(other, UniqueRule("primary key", other.key))
        await transaction.write(other, at, fresh, row)
    return refused


async def _check_kept(
    transaction: OverlayTransaction, spread: Spread, lost: Moves
) -> None:
    """Refuse to lose values that a row refers to, now or at the commit.

    Raises:
        ConflictError: It does.
    """
    link = spread.link
    if link is None or not lost:
        return
    if link.rule.deferred:
        allowed = {v for v, now in lost.items() if spread.action(now) == "NO ACTION"}
        transaction.top.deferred += [(link, value) for value in allowed]
        lost = {v: now for v, now in lost.items() if v not in allowed}
    if await link.dangles(transaction, lost):
        error = mismatch(link.rule.name)
        if None in lost.values():
            place = _place(spread, link)
            error = still_referred(spread.owner.name, place, link.rule.name)
        raise error


def _place(spread: Spread, link: Link) -> str:
    """Name a foreign key by where it is, and the relationship that goes by it."""
    place, fields = link.rule.place, set(spread.others)
    for rule in spread.owner.cascades():
        if set(spread.other.named(rule.target) or ()) == fields:
            return f"{rule.name} ({place})"
    return place


def mismatch(constraint: str | None, fields: Sequence[str] = ()) -> ConflictError:
    """Return what to say of a foreign key that leads to nothing, or would."""
    return ConflictError(
        f"{', '.join(fields) or 'a reference'} does not match: what it refers to is "
        "missing, or still referred to",
        kind="foreign_key",
        constraint=constraint,
        fields=fields,
    )


def still_referred(
    entity: str, place: str | None, constraint: str | None
) -> ConflictError:
    """Return what to say of an *entity* that can't be deleted, and of the remedies."""
    error = ConflictError(
        f"the {entity} is still referred to by {place or 'another table'}: "
        "delete what refers to it first, or have that done: by "
        'cascade="all, delete-orphan" of the relationship, or by ondelete="CASCADE" or '
        '"SET NULL" of the foreign key, with passive_deletes=True of the relationship',
        kind="foreign_key",
        constraint=constraint,
    )
    error.public = False  # it names tables: for logs, not for clients
    return error


def _ties_of(known: Sequence[Adapter]) -> dict[type, Ties]:
    """Return what ties each of the *known* classes to others of them."""
    ties: dict[type, Ties] = defaultdict(Ties)
    for child in known:
        for rule in child.foreign_keys():
            parents = [p for adapter in known if (p := _parent(adapter, rule))]
            if not parents:
                continue
            link = Link(child, rule, tuple(parents))
            ties[child.entity].links.append(link)
            for parent in parents:
                owner, fields = parent.adapter, parent.fields
                actions = rule.on_delete, rule.on_update
                spread = Spread(owner, fields, child, rule.fields, *actions, link)
                ties[owner.entity].referring.append(spread)
    for owner in known:
        for cascade in owner.cascades():
            for other in known:
                if others := other.named(cascade.target):
                    action = cascade.on_delete
                    spread = Spread(owner, cascade.fields, other, others, action)
                    ties[owner.entity].mapped.append(spread)
        ties[owner.entity].mapped.sort(key=lambda spread: spread.on_delete)
    return {entity: held for entity, held in ties.items() if held != Ties()}


def _parent(adapter: Adapter, rule: ForeignKeyRule) -> Parent | None:
    """Return the class as what *rule* refers to; None where it is not of that table."""
    fields = adapter.named(rule.target)
    for unique in (UniqueRule("primary key", adapter.key), *adapter.unique):
        is_whole = unique.where is None and set(unique.fields) == set(fields or ())
        if fields and is_whole:
            return Parent(adapter, fields, unique)
    return None


def _value(row: Row | None, fields: Sequence[str]) -> KeyTuple | None:
    """Return what *row* holds in *fields*; None where that refers to nothing."""
    value = tuple(row[name] for name in fields) if row else (None,)
    return None if None in value else value


def _taken(transaction: OverlayTransaction) -> list[Lost]:
    lost, transaction.top.lost = transaction.top.lost, []
    return lost
