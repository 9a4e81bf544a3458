"""What random histories are made of: for each entity class, what may be drawn."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from operator import and_, invert, or_
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from layerkit.repository import ALL, Inc, Order, Specification, field
from layerkit.repository.entities.limits import to_single

ABSENT: Final = 1_000_000
"""An id that nothing has."""

_VERBS: Final = frozenset({
    "create", "create_many", "update", "change", "delete", "update_where",
    "delete_where", "upsert", "upsert_by_id", "upsert_many", "read", "pages", "locked",
})  # fmt: skip

Shown: TypeAlias = Callable[[Any], Mapping[str, object]]
Find: TypeAlias = Callable[[Any, Any], Awaitable[Any]]

_all, _unsorted, _whole = st.just(ALL), st.just(()), st.just("all")
_none, _nothing = st.none(), st.nothing()


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Say what happens to entities of one class.

    Attributes:
        rules: The rules of the machine that are played.
        needs: What a backend must be capable of, besides what items take.
        shown: Given an entity, returns what must be equal on both sides.
        labels: What an entity is called by in a step: generated ids may differ.
        id_of: Given a repository and a label, returns the id there, or ``ABSENT``.
        key: The fields that an upsert goes by.
        first: What is stored at the start.
        new: The values of a new entity.
        changes: What ``update`` is given; some is to be refused.
        attributes: What is set on an entity itself.
        where: Filters.
        orders: What is sorted by.
        views: The views that verbs are called on, by name.
        view: Given a repository and the name of a view, returns the view.
        versions: What ``expected_version`` is given.
        compared: A field, and a value that may be beyond what it holds.
        copied: The fields that one entity takes over from another.
        owned: The fields that each entity is found by.
    """

    rules: frozenset[str]
    shown: Shown
    labels: st.SearchStrategy[Any]
    id_of: Find
    key: tuple[str, ...]
    first: st.SearchStrategy[list[dict[str, Any]]]
    new: st.SearchStrategy[dict[str, Any]]
    changes: st.SearchStrategy[dict[str, Any]]
    attributes: st.SearchStrategy[dict[str, Any]]
    where: st.SearchStrategy[Specification] = _all
    orders: st.SearchStrategy[tuple[Order, ...]] = _unsorted
    views: st.SearchStrategy[str] = _whole
    view: Callable[[Any, str], Any] = lambda side, _: side
    versions: st.SearchStrategy[int | None] = _none
    compared: st.SearchStrategy[tuple[str, Any]] = _nothing
    copied: tuple[str, ...] = ()
    owned: st.SearchStrategy[str] = _nothing
    needs: tuple[str, ...] = ()


def _fields(*names: str) -> Shown:
    return lambda entity: {name: getattr(entity, name) for name in names}


def _found_by(name: str) -> Find:
    async def find(side: Any, value: Any) -> Any:
        found = await side.find_one(field(name) == value)
        return ABSENT if found is None else found.id

    return find


def _some(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=values)


def _several(
    new: st.SearchStrategy[dict[str, Any]], key: Iterable[str], most: int
) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return lists of at least two new entities, none with the key of another."""
    names = tuple(key)
    return st.lists(
        new,
        min_size=2,
        max_size=most,
        unique_by=lambda values: tuple(values[name] for name in names),
    )


def _sorted_by(*names: str) -> st.SearchStrategy[tuple[Order, ...]]:
    order = st.builds(Order, st.sampled_from(names), st.booleans(), st.booleans())
    return st.lists(order, max_size=2, unique_by=lambda by: by.field).map(tuple)


# Items: filters, orders, unique values, nulls. Texts are sorted and compared by `name`
# alone, which a backend must do byte by byte.

_names = st.sampled_from(["a", "A", "b", "ä", "a b", "50%", "_"])
_numbers = st.one_of(st.none(), st.integers(-2, 3))
_notes = st.sampled_from([None, "", "a", "B", "ab", "%_", "x'y", "\\"])
_texts = st.sampled_from(["", "a", "A", "b", "%", "_", "'", "\\", "ä"])


def _leaves() -> st.SearchStrategy[Specification]:
    name, qty, note = (field(n) for n in ("name", "qty", "note"))
    number, text = st.integers(-2, 3), _texts
    numbers, names = st.lists(number, max_size=3), st.lists(_names, max_size=3)
    compared = (
        qty.__eq__, qty.__ne__, qty.__lt__, qty.__le__, qty.__gt__, qty.__ge__
    )  # fmt: skip
    searched = (
        note.__eq__, note.__ne__, note.contains, note.startswith, note.endswith,
        note.iendswith, name.icontains, name.istartswith,
    )  # fmt: skip
    return st.one_of(
        st.sampled_from([ALL, qty.is_null(), note.is_not_null()]),
        *(st.builds(test, number) for test in compared),
        *(st.builds(test, text) for test in searched),
        *(st.builds(test, _names) for test in (name.__eq__, name.__gt__)),
        *(st.builds(test, numbers) for test in (qty.in_, qty.not_in)),
        st.builds(qty.between, number, number),
        st.builds(name.in_, names),
    )


_specifications: st.SearchStrategy[Specification] = st.recursive(
    _leaves(),
    lambda inner: st.one_of(
        st.builds(and_, inner, inner), st.builds(or_, inner, inner), inner.map(invert)
    ),
    max_leaves=5,
)
_values = _some(qty=_numbers, note=_notes)
_new_item = st.builds(lambda name, values: {"name": name, **values}, _names, _values)

ITEMS = Kind(
    rules=_VERBS,
    shown=_fields("name", "qty", "note"),
    labels=_names,
    id_of=_found_by("name"),
    key=("name",),
    first=_several(_new_item, ["name"], 6),
    new=_new_item,
    changes=st.one_of(
        _values,
        st.fixed_dictionaries({"qty": st.builds(Inc, st.integers(-1, 2))}),
        st.fixed_dictionaries({"name": _names}),
        st.sampled_from([{"nope": 1}, {"qty": "many"}, {"name": None}]),
    ),
    attributes=_some(name=_names, qty=_numbers, note=_notes),
    where=_specifications,
    orders=_sorted_by("name", "qty"),
)

# Records: versions, stamps, soft deletion and scopes, each step in a view.

_codes = st.sampled_from(["a", "b", "c"])
_tenants = st.sampled_from(["main", "mine"])
_amounts = st.integers(0, 2)
_new_record = st.fixed_dictionaries(
    {"code": _codes}, optional={"tenant": _tenants, "qty": _amounts}
)


def _view(side: Any, name: str) -> Any:
    if name.startswith("mine"):
        side = side.scoped(field("tenant") == "mine")
    if name.endswith("from 1"):
        side = side.scoped(field("qty") >= 1, {"qty": 1})
    return side.with_deleted() if name.endswith("ever") else side


async def _at(side: Any, place: int) -> int:
    """Return the id of what was stored at that place, or one that nothing has."""
    ever = await side.with_deleted().find(ALL)
    return ever[place].id if place < len(ever) else ABSENT


def _record(record: Any) -> Mapping[str, object]:
    seen = _fields("code", "tenant", "qty", "version")(record)
    return {**seen, "deleted": record.deleted_at is not None}


RECORDS = Kind(
    rules=_VERBS | {"restore"},
    needs=("records",),
    shown=_record,
    labels=st.integers(0, 5),
    id_of=_at,
    key=("code",),
    first=_several(_new_record, ["code"], 4),
    new=_new_record,
    changes=st.one_of(
        _some(code=_codes, qty=_amounts),
        st.fixed_dictionaries({"qty": st.builds(Inc, st.integers(1, 2))}),
        st.sampled_from([{"tenant": "mine"}, {"version": 9}]),
    ),
    attributes=st.fixed_dictionaries(
        {"code": _codes, "qty": _amounts, "tenant": _tenants}
    ),
    where=st.sampled_from(
        [ALL, field("qty") >= 1, field("code") == "a", ~(field("code") == "b")]
    ),
    orders=st.sampled_from(
        [(), (Order("qty", descending=True),), (Order("deleted_at"), Order("qty"))]
    ),
    views=st.sampled_from(["all", "mine", "mine, from 1", "all ever", "mine ever"]),
    view=_view,
    versions=st.none() | st.integers(1, 3),
)

# Seats: keys of two fields, and orders by a text or null.

_keys = st.tuples(st.sampled_from("ab"), st.integers(1, 2))
_guests = st.sampled_from([None, "", "ada", "bob"])
_new_seat = st.builds(
    lambda key, given: {"row": key[0], "number": key[1], **given},
    _keys,
    _some(guest=_guests),
)


async def _given(_: Any, key: tuple[str, int]) -> tuple[str, int]:
    return key


SEATS = Kind(
    rules=_VERBS - {"upsert_by_id"},
    needs=("composite_keys",),
    shown=_fields("row", "number", "guest"),
    labels=_keys,
    id_of=_given,
    key=("number", "row"),
    first=_several(_new_seat, ["row", "number"], 4),
    new=_new_seat,
    changes=st.one_of(
        st.fixed_dictionaries({"guest": _guests}),
        st.sampled_from([{}, {"row": "b"}, {"guest": 5}]),
    ),
    attributes=st.fixed_dictionaries({"guest": _guests}),
    where=st.sampled_from([
        ALL,
        field("row") == "a",
        field("number") > 1,
        field("guest").is_null(),
        ~(field("guest") == "ada"),
        (field("row") == "a") & (field("number") == 1),
    ]),
    orders=_sorted_by("row", "number", "guest"),
)  # fmt: skip

# Readings: extreme numbers, and values that the server makes. Moments differ between
# two sides; that each finds its own row is the same on both.

_columns: Final[Mapping[str, list[Any]]] = {
    "narrow": [0, 0.1, 1 / 3, -2e7 / 3, 16777217.0, 3e38, 1e39],
    "wide": [3, 0.1, 1 / 3, 1e300, -1.7e308, 10**66, 10**400],
    "price": [5, *map(Decimal, ("0.1", "1.005", "-1.005", "99999999.99", "1E+30"))],
    "whole": [0, 1, 2**31 - 1, -(2**31), 2**31, 2**70],
}
_amounts_added: Final[Mapping[str, list[Any]]] = {
    "narrow": [0.1, 1, 3e38],
    "wide": [0.1, 2, 1e308],
    "price": [Decimal("0.005"), Decimal("0.2"), 1],
    "whole": [1, -1, 2**40],
}
_held = _some(
    **{name: st.sampled_from([None, *held]) for name, held in _columns.items()},
    text=st.sampled_from([None, "", "ab", "a\0", "\ud800", "ä" * 20, "ä" * 21]),
)
_marks = st.sampled_from(["a", "b", "c", "d"])


def _reading(reading: Any) -> Mapping[str, object]:
    seen = _fields("code", "wide", "price", "whole", "text")(reading)
    # A driver may show no more digits than tell a float of four bytes apart.
    narrow = reading.narrow
    return {**seen, "narrow": narrow if narrow is None else to_single(narrow)}


READINGS = Kind(
    rules=frozenset(
        {"create", "update", "change", "update_where", "copy", "compare", "own"}
    ),
    needs=("cursors",),
    shown=_reading,
    labels=_marks,
    id_of=_found_by("code"),
    key=("code",),
    first=st.just([{"code": "a"}, {"code": "b"}]),
    new=st.builds(lambda code, values: {"code": code, **values}, _marks, _held),
    changes=st.one_of(
        _held,
        *(
            st.fixed_dictionaries({name: st.sampled_from(added).map(Inc)})
            for name, added in _amounts_added.items()
        ),
    ),
    attributes=_held,
    compared=st.one_of(
        *(
            st.tuples(st.just(name), st.sampled_from(held))
            for name, held in _columns.items()
        )
    ),
    copied=("at",),
    owned=st.sampled_from(["at", *_columns]),
)

KINDS: Final = {"entity": ITEMS, "record": RECORDS, "seat": SEATS, "reading": READINGS}
"""By the attribute of a contract that holds the class."""
