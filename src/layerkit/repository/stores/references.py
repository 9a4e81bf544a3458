"""Foreign keys in memory: which classes refer to which, and what a change leads to.

A row that is written must find what it refers to, at once or at the commit. What refers
to a row that is lost is seen to at the end of the statement, as in SQL: by the mapping
of the class first, then by the foreign keys.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any, Final, Generic, TypeAlias, cast

from typing_extensions import TypeVar

from layerkit.core.errors import ConflictError, UsageError
from layerkit.repository.entities.adapter import Adapter
from layerkit.repository.entities.fields import (
    Action,
    CascadeRule,
    ForeignKeyRule,
    KeyTuple,
    UniqueRule,
)
from layerkit.repository.filters.specification import ALL
from layerkit.repository.stores.overlay import OverlayTransaction
from layerkit.repository.stores.tables import Deferred, Lost, Row

Moves: TypeAlias = dict[KeyTuple, KeyTuple | None]
"""What values have become that others refer to; None where their row is deleted."""

Node: TypeAlias = tuple[type, KeyTuple]
"""A row, by its class and key."""

Rows: TypeAlias = dict[type, dict[KeyTuple, Row]]
"""Rows by their classes and keys."""

Rule = TypeVar("Rule", bound=CascadeRule | ForeignKeyRule, default=Any)

_REFUSING: Final = frozenset({"NO ACTION", "RESTRICT"})


@dataclass(frozen=True, slots=True, eq=False)
class Parent:
    """A class that a foreign key refers to.

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
    """A foreign key between known classes; two may be mapped to one table."""

    child: Adapter
    rule: ForeignKeyRule
    parents: tuple[Parent, ...]

    async def leads(self, unit: OverlayTransaction, value: KeyTuple) -> bool:
        """Tell whether there is a row that *value* refers to."""
        for parent in self.parents:
            given = dict(zip(parent.fields, value, strict=True))
            sought = tuple(given[name] for name in parent.unique.fields)
            if await unit.holder(parent.adapter, parent.unique, sought):
                return True
        return False

    async def dangles(self, unit: OverlayTransaction, lost: Moves) -> bool:
        """Tell whether a row refers to one of the *lost* values, and to nothing now."""
        gone = {v for v in lost if not await self.leads(unit, v)}
        rows = await unit.rows(self.child, ALL) if gone else []
        return any(_value(row, self.rule.fields) in gone for _, row in rows)


@dataclass(frozen=True, slots=True, eq=False)
class Spread(Generic[Rule]):
    """Say what becomes of rows that have the values of a row that is lost.

    Attributes:
        owner: The class that loses a row.
        fields: Its fields.
        other: The class whose rows go by it.
        others: The fields of that one.
        rule: What says so: the mapping, or a foreign key.
        link: The foreign key; None where the mapping says it.
    """

    owner: Adapter
    fields: tuple[str, ...]
    other: Adapter
    others: tuple[str, ...]
    rule: Rule
    link: Link | None = None

    @property
    def ends(self) -> frozenset[frozenset[tuple[type, str]]]:
        """The fields that go by each other; alike from both sides."""
        owner, other = self.owner.entity, self.other.entity
        pairs = zip(self.fields, self.others, strict=True)
        return frozenset(frozenset({(owner, f), (other, o)}) for f, o in pairs)

    def action(self, now: KeyTuple | None) -> Action:
        """Return what becomes of rows with values that are *now* others, or gone."""
        return self.rule.on_delete if now is None else self.rule.on_update

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
    mapped: list[Spread[CascadeRule]] = field(default_factory=list)
    referring: list[Spread[ForeignKeyRule]] = field(default_factory=list)


class References:
    """Keep the foreign keys between the classes of a home that are known to it."""

    def __init__(self) -> None:
        self._known: dict[type, Adapter] = {}
        self._ties: defaultdict[type, Ties] | None = None

    def add(self, adapter: Adapter) -> None:
        """Let a class be known."""
        self._known[adapter.entity], self._ties = adapter, None

    def of(self, entity: type) -> Ties:
        """Return what ties a class to others."""
        if self._ties is None:  # looked for late: a class may be defined after another
            self._ties = _ties_of(list(self._known.values()))
        return self._ties[entity]

    def are_moved(self, entity: type, old: Row, new: Row | None) -> bool:
        """Tell whether a row loses values that others may refer to."""
        ties = self.of(entity)
        spreads: list[Spread] = [*ties.mapped, *ties.referring]
        return any(_value(old, s.fields) != _value(new, s.fields) for s in spreads)

    async def note(
        self, unit: OverlayTransaction, entity: type, old: Row | None, new: Row | None
    ) -> None:
        """Check a row that was written, and remember what others may refer to.

        Raises:
            ConflictError: It refers to nothing.
        """
        ties = self.of(entity)
        for link in ties.links:
            value = _value(new, link.rule.fields)
            if value is None or value == _value(old, link.rule.fields):
                continue
            if link.rule.deferred:
                unit.top.deferred.append((link, value))
            elif not await link.leads(unit, value):
                error = mismatch(link.rule.name, link.rule.fields)
                raise error
        if old is not None and (ties.mapped or ties.referring):
            unit.top.lost.append((entity, old, new))

    async def run_referential_actions(self, unit: OverlayTransaction) -> None:
        """Do to what refers to lost rows what the mappings and foreign keys say.

        Raises:
            ConflictError: Some of it has to stay.
            UsageError: The mapping deletes rows that refer to each other in a circle.
            ValidationError: A null goes where none may be.
        """
        lost = every = _taken(unit)
        gone = {entity for entity, _, new in lost if new is None}
        mapped = [spread for entity in gone for spread in self.of(entity).mapped]
        is_by_row = any(spread.rule.by_row for spread in mapped)
        while lost:  # what the mapping does cascades, and comes first
            for spread, moves in self._spreads(lost, by_mapping=True).items():
                await _follow(unit, spread, moves)
            lost = _taken(unit)
            every = [*every, *lost]
        if is_by_row:
            self._check_order(every)
        kept: list[tuple[Spread, Moves]] = []
        while every:
            for spread, moves in self._spreads(every, by_mapping=False).items():
                kept.append((spread, await _follow(unit, spread, moves)))
            every = _taken(unit)
        for spread, moves in kept:
            await _check_kept(unit, spread, moves)

    async def check(self, unit: OverlayTransaction, deferred: list[Deferred]) -> None:
        """Check what was put off to the commit.

        Raises:
            ConflictError: A row refers to nothing.
        """
        links: dict[Any, Moves] = defaultdict(dict)
        for link, value in deferred:
            links[link][value] = None
        for link, values in links.items():
            if await link.dangles(unit, values):
                error = mismatch(link.rule.name, link.rule.fields)
                raise error

    def _check_order(self, changes: Sequence[Lost]) -> None:
        """Refuse rows that no order of statements, one for each row, can delete.

        Raises:
            ConflictError: A foreign key keeps a row that has to go before its own.
            UsageError: Relationships ask for an order that leads round in a circle.
        """
        gone = self._gone(changes)
        mapped = [spread for entity in gone for spread in self.of(entity).mapped]
        earlier: dict[Node, set[Node]] = defaultdict(set)
        for spread in mapped:
            for own, other in _tied(spread, gone):
                if spread.rule.first == "own":
                    earlier[other].add(own)
                elif spread.rule.first == "other":
                    earlier[own].add(other)
        if _circle(earlier):
            error = circular()
            raise error
        nulled = {spread.ends for spread in mapped if spread.rule.first == "either"}
        keys = [spread for entity in gone for spread in self.of(entity).referring]
        _check_keys([s for s in keys if s.ends not in nulled], gone, earlier)

    def _gone(self, changes: Sequence[Lost]) -> Rows:
        """Return the rows that are deleted, as the statement has found them."""
        before: dict[Node, Row] = {}
        gone: Rows = defaultdict(dict)
        for entity, old, new in changes:
            key = tuple(old[name] for name in self._known[entity].key)
            found = before.setdefault((entity, key), old)
            if new is None:
                gone[entity][key] = found
        return gone

    def _spreads(self, lost: list[Lost], *, by_mapping: bool) -> Mapping[Spread, Moves]:
        """Return what goes by *lost* rows, and what has become of their values."""
        found: dict[Spread, Moves] = defaultdict(dict)
        for entity, old, new in lost:
            ties = self.of(entity)
            for spread in ties.mapped if by_mapping else ties.referring:
                moves, names = found[spread], spread.fields
                value = _value(old, names)
                now = None if new is None else tuple(new[name] for name in names)
                if value is not None and value != now:
                    moves[value] = now
        return found


async def _follow(unit: OverlayTransaction, spread: Spread, moves: Moves) -> Moves:
    """Do what *spread* says, and return the values that nothing may refer to.

    Raises:
        AlreadyExistsError: A key that follows is another row's.
        ValidationError: A null goes where none may be.
    """
    refused = {v: now for v, now in moves.items() if spread.action(now) in _REFUSING}
    followed = {v: now for v, now in moves.items() if v not in refused}
    other, written = spread.other, []
    for key, row in await unit.rows(other, ALL) if followed else ():
        held = _value(row, spread.others)
        if held in followed:
            becomes = followed[held]
            if spread.action(becomes) != "CASCADE":
                becomes = (None,) * len(held)  # no table here has defaults of its own
            if becomes is None:
                await unit.remove(other, key)
                continue
            fresh = spread.rewritten(row, becomes)
            at = tuple(fresh[name] for name in other.key)
            written.append((at, at != key, fresh, row))
            if at != key:  # all leave before one arrives, and what refers goes along
                await OverlayTransaction.remove(unit, other, key)
    for at, is_moved, fresh, row in written:
        if is_moved and await unit.row(other, at) is not None:
            unit.refuse(other, UniqueRule("primary key", other.key))
        await unit.write(other, at, fresh, row)
    return refused


async def _check_kept(unit: OverlayTransaction, spread: Spread, lost: Moves) -> None:
    """Refuse to lose values that a row refers to, now or at the commit.

    Raises:
        ConflictError: It does.
    """
    link = cast(Link, spread.link)  # what goes by a foreign key has one
    if link.rule.deferred:
        allowed = {v for v, now in lost.items() if spread.action(now) == "NO ACTION"}
        unit.top.deferred += [(link, value) for value in allowed]
        lost = {v: now for v, now in lost.items() if v not in allowed}
    if await link.dangles(unit, lost):
        is_deleted = None in lost.values()
        error = _kept(spread) if is_deleted else mismatch(link.rule.name)
        raise error


def _check_keys(
    keys: Iterable[Spread[ForeignKeyRule]], gone: Rows, earlier: dict[Node, set[Node]]
) -> None:
    """Refuse to delete rows in an order, or in none, that foreign keys don't let go.

    Args:
        keys: The foreign keys.
        gone: The rows.
        earlier: Those that have to go before a row, for another reason.

    Raises:
        ConflictError: A row is still referred to when it has to go.
    """
    keeping: dict[tuple[Node, Node], Spread[ForeignKeyRule]] = {}
    for spread in keys:
        if spread.rule.deferred or spread.rule.on_delete not in _REFUSING:
            continue
        for own, other in _tied(spread, gone):
            if own != other and other not in earlier[own]:
                earlier[own].add(other)
                keeping[other, own] = spread
    steps = [keeping[s] for s in pairwise(_circle(earlier)) if s in keeping]
    if steps:
        error = _kept(steps[0])
        raise error


def _tied(spread: Spread, rows: Rows) -> Iterator[tuple[Node, Node]]:
    """Yield those of *rows* that go by each other, that of the owner first."""
    owner, other = spread.owner.entity, spread.other.entity
    held: dict[KeyTuple | None, list[Node]] = defaultdict(list)
    for key, row in rows[owner].items():
        held[_value(row, spread.fields)].append((owner, key))
    held.pop(None, None)  # a null goes by nothing
    for key, row in rows.get(other, {}).items():
        for own in held.get(_value(row, spread.others), ()):
            yield own, (other, key)


def _circle(earlier: Mapping[Node, Set[Node]]) -> list[Node]:
    """Return rows that each have to go before the next one, round; empty for none."""
    try:
        TopologicalSorter(earlier).prepare()
    except CycleError as error:
        return cast("list[Node]", error.args[1])
    return []


def _kept(spread: Spread[ForeignKeyRule]) -> ConflictError:
    """Return what to say of a row that is kept, and by which relationship."""
    place, fields = spread.rule.place, set(spread.others)
    for rule in spread.owner.cascades():
        if set(spread.other.named(rule.target) or ()) == fields:
            place = f"{rule.name} ({place})"
            break
    return still_referred(spread.owner.name, place, spread.rule.name)


def mismatch(constraint: str | None, fields: Sequence[str] = ()) -> ConflictError:
    """Return what to say of a foreign key that leads to nothing, or would."""
    return ConflictError(
        f"{', '.join(fields) or 'a reference'} does not match: what it refers to is "
        "missing, or still referred to",
        kind="foreign_key",
        constraint=constraint,
        fields=fields,
    )


def circular() -> UsageError:
    """Return what to say of rows that can't be written one after the other."""
    return UsageError(
        "the rows refer to each other in a circle, or one to itself, so that no "
        "order of their statements is right: give the relationship "
        "post_update=True, or set the reference to null first"
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


def _ties_of(known: Sequence[Adapter]) -> defaultdict[type, Ties]:
    """Return what ties each of the *known* classes to others of them."""
    ties: defaultdict[type, Ties] = defaultdict(Ties)
    for child in known:
        for rule in child.foreign_keys():
            parents = [p for adapter in known if (p := _parent(adapter, rule))]
            if not parents:
                continue
            link = Link(child, rule, tuple(parents))
            ties[child.entity].links.append(link)
            for parent in parents:
                owner, fields = parent.adapter, parent.fields
                by_key = Spread(owner, fields, child, rule.fields, rule, link)
                ties[owner.entity].referring.append(by_key)
    for owner in known:
        for cascade in owner.cascades():
            for other in known:
                if others := other.named(cascade.target):
                    spread = Spread(owner, cascade.fields, other, others, cascade)
                    ties[owner.entity].mapped.append(spread)
        ties[owner.entity].mapped.sort(key=lambda spread: spread.rule.on_delete)
    return ties


def _parent(adapter: Adapter, rule: ForeignKeyRule) -> Parent | None:
    """Return the class as what *rule* refers to; None where it is not of that table."""
    fields = adapter.named(rule.target) or ()
    for unique in (UniqueRule("primary key", adapter.key), *adapter.unique):
        if unique.where is None and set(unique.fields) == set(fields):
            return Parent(adapter, fields, unique)
    return None


def _value(row: Row | None, fields: Sequence[str]) -> KeyTuple | None:
    """Return what *row* holds in *fields*; None where that refers to nothing."""
    value = tuple(row[name] for name in fields) if row else (None,)
    return None if None in value else value


def _taken(unit: OverlayTransaction) -> list[Lost]:
    lost, unit.top.lost = unit.top.lost, []
    return lost
