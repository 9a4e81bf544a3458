"""What tables and relationships say of references, as data for homes of other kinds."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, cast

from sqlalchemy import ColumnElement
from sqlalchemy.exc import NoReferenceError
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty
from sqlalchemy.sql.elements import BooleanClauseList

from layerkit.repository import CascadeRule, ForeignKeyRule
from layerkit.repository.entities.fields import Action
from layerkit.sql.deletes import UNREADABLE, cascades, hands_over, on_delete, tables_of
from layerkit.sql.table_rules import name_of

First: TypeAlias = Literal["own", "other", "either"] | None
"""Which row goes first where both are deleted; see ``CascadeRule``."""


def foreign_key_rules(
    mapper: Mapper[Any], names: Mapping[ColumnElement[Any], str]
) -> list[ForeignKeyRule]:
    """Return the foreign keys of a class, whose columns have *names* in it.

    One that refers to a table that is not defined is left out.
    """
    rules: list[ForeignKeyRule] = []
    for table in tables_of(mapper):
        for key in table.foreign_key_constraints:
            try:
                target = tuple(element.column for element in key.elements)
            except NoReferenceError:
                continue
            if all(column in names for column in key.columns):
                rules.append(
                    ForeignKeyRule(
                        name_of(key, "fkey"),
                        tuple(names[column] for column in key.columns),
                        target,
                        ", ".join(f"{table.name}.{c.name}" for c in key.columns),
                        on_delete=cast(Action, on_delete(key.elements[0])),
                        on_update=cast(Action, (key.onupdate or "NO ACTION").upper()),
                        deferred=(key.initially or "").upper() == "DEFERRED",
                    )
                )
    return sorted(rules, key=lambda rule: rule.name)  # a set has no order


def cascade_rules(
    mapper: Mapper[Any], names: Mapping[ColumnElement[Any], str]
) -> list[CascadeRule]:
    """Return what the relationships of a class do at a delete where none is loaded."""
    rules: list[CascadeRule] = []
    for relationship in mapper.relationships:
        pairs: list[tuple[Any, Any]] = list(relationship.synchronize_pairs)
        if relationship.direction is RelationshipDirection.MANYTOONE:
            pairs = [(own, other) for other, own in pairs]
        if all(own in names for own, _ in pairs):
            rules.append(
                CascadeRule(
                    str(relationship),
                    tuple(names[own] for own, _ in pairs),
                    tuple(other for _, other in pairs),
                    _at_delete(relationship),
                    _first(relationship),
                    cascades(relationship),
                )
            )
    return rules


def _at_delete(relationship: RelationshipProperty[Any]) -> Action:
    """Return what the mapping does to what is related; NO ACTION where keys decide."""
    direction, join = relationship.direction, relationship.primaryjoin
    parts = join.clauses if isinstance(join, BooleanClauseList) else [join]
    if (
        relationship.viewonly
        or relationship.passive_deletes
        or hands_over(relationship, enforced=True)
        # It is about some rows only, which nobody can tell here.
        or len(parts) > len(relationship.synchronize_pairs)
    ):
        return "NO ACTION"
    if relationship.cascade.delete or direction is RelationshipDirection.MANYTOMANY:
        return "CASCADE"
    is_to_one = direction is RelationshipDirection.MANYTOONE
    return "NO ACTION" if is_to_one else "SET NULL"


def _first(relationship: RelationshipProperty[Any]) -> First:
    """Return which row a flush deletes first, of two that the relationship ties."""
    direction, is_left = relationship.direction, hands_over(relationship, enforced=True)
    if relationship.viewonly or direction is RelationshipDirection.MANYTOMANY:
        return None
    if relationship.post_update:
        return "either"
    # A flush knows of those that are loaded, or that `left_to_database` lists for it.
    is_known = relationship.lazy not in UNREADABLE if is_left else True
    if not is_known or (relationship.passive_deletes and not is_left):
        return None
    return "own" if direction is RelationshipDirection.MANYTOONE else "other"
