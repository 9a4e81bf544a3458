"""Filters and orders as data: what they are, and what they refuse to be."""

import functools
import operator
from collections.abc import Callable

import pytest
from typing_extensions import override

from layerkit.core.errors import UsageError
from layerkit.repository import (
    ALL,
    Field,
    Inc,
    Order,
    comparisons,
    field,
    fields,
    key_in,
)
from layerkit.repository.filters.evaluate import matches
from layerkit.repository.filters.specification import Comparison, Not, Specification
from layerkit.testing.contracts import Item

A, B, C = field("a") == 1, field("b") > 2, field("c").contains("x")

OPERATORS: dict[str, Callable[[Field], Specification]] = {
    "eq": lambda f: f == "v",
    "ne": lambda f: f != "v",
    "lt": lambda f: f < "v",
    "le": lambda f: f <= "v",
    "gt": lambda f: f > "v",
    "ge": lambda f: f >= "v",
    "contains": lambda f: f.contains("v"),
    "startswith": lambda f: f.startswith("v"),
    "endswith": lambda f: f.endswith("v"),
    "icontains": lambda f: f.icontains("v"),
    "istartswith": lambda f: f.istartswith("v"),
    "iendswith": lambda f: f.iendswith("v"),
}


@pytest.mark.defect("R3")
@pytest.mark.parametrize("name", OPERATORS)
def test_each_operator_is_itself(name: str) -> None:
    made = OPERATORS[name](field("x"))

    assert isinstance(made, Comparison)
    assert (made.field, made.operator, made.value) == ("x", name, "v")


def test_between_includes_both_bounds() -> None:
    assert field("x").between(1, 5) == (field("x") >= 1) & (field("x") <= 5)


def test_equality_with_none_asks_for_null() -> None:
    assert (field("x") == None) == field("x").is_null()  # noqa: E711 - what users write
    assert (field("x") != None) == field("x").is_not_null()  # noqa: E711 - what users write
    assert field("x").is_not_null() == ~field("x").is_null()


@pytest.mark.defect("R2")
@pytest.mark.parametrize("values", [None, "abc", b"xyz", 5, [1, None], (None,)])
def test_in_takes_a_list_without_none(values: object) -> None:
    with pytest.raises(UsageError, match="in_"):
        field("x").in_(values)  # type: ignore[arg-type] # what is tested
    with pytest.raises(UsageError, match="in_"):
        field("x").not_in(values)  # type: ignore[arg-type] # what is tested


def test_in_keeps_what_an_iterator_gave() -> None:
    assert field("x").in_(iter([1, 2])) == field("x").in_((1, 2))
    assert field("x").not_in([1]) == ~field("x").in_([1])


@pytest.mark.parametrize("name", ["__lt__", "__le__", "__gt__", "__ge__"])
def test_nothing_is_ordered_against_none(name: str) -> None:
    with pytest.raises(UsageError, match="is_null"):
        getattr(field("x"), name)(None)


@pytest.mark.parametrize("bounds", [(None, 1), (1, None)])
def test_a_range_has_two_bounds(bounds: tuple[object, object]) -> None:
    with pytest.raises(UsageError, match="is_null"):
        field("x").between(*bounds)


@pytest.mark.parametrize("name", list(OPERATORS)[6:])
@pytest.mark.parametrize("text", [None, 5, b"x"])
def test_a_text_is_searched_by_a_text(name: str, text: object) -> None:
    with pytest.raises(UsageError, match=name):
        getattr(field("x"), name)(text)


@pytest.mark.parametrize("name", [None, 5, "", field("x")])
def test_a_field_has_a_name(name: object) -> None:
    with pytest.raises(UsageError, match="name of a field"):
        field(name)  # type: ignore[arg-type] # what is tested


@pytest.mark.defect("R1")
@pytest.mark.parametrize("where", [A, A & B, A | B, ~A, ALL])
def test_a_specification_is_no_condition(where: Specification) -> None:
    with pytest.raises(UsageError, match="&"):
        bool(where)
    with pytest.raises(UsageError):
        _ = where and B  # type: ignore[redundant-expr] # the mistake that is tested
    with pytest.raises(UsageError):
        _ = not where


def test_specifications_are_values() -> None:
    twin = (field("a") == 1) & (field("b") > 2)

    assert twin == A & B
    assert hash(twin) == hash(A & B)
    assert twin != B & A
    assert len({A, B, A & B, twin, ALL, ALL & ALL}) == 4
    assert hash(field("a")) == hash(field("a")) != hash(field("b"))


def test_all_is_neutral_to_and() -> None:
    assert A & ALL == A
    assert ALL & A == A
    assert ALL & ALL == ALL


@pytest.mark.unmeasured
@pytest.mark.parametrize("combine", [operator.and_, operator.or_])
def test_filters_are_combined_flat(
    combine: Callable[[Specification, Specification], Specification],
) -> None:
    one_by_one = functools.reduce(combine, [field("x") == n for n in range(3000)])

    assert combine(combine(A, B), C) == combine(A, combine(B, C))
    assert combine(A, ~combine(B, C)) != combine(combine(A, ~B), C)
    assert len({one_by_one}) == 1
    assert len(list(comparisons(one_by_one))) == 3000


@pytest.mark.defect("R2")
@pytest.mark.parametrize("other", [None, True, "x", field("b")])
def test_a_filter_is_combined_with_nothing_but_a_filter(other: object) -> None:
    with pytest.raises(UsageError, match=r"& combines two filters .* parentheses"):
        _ = A & other  # type: ignore[operator] # what is tested
    with pytest.raises(UsageError, match=r"\| combines two filters"):
        _ = A | other  # type: ignore[operator] # what is tested


def test_all_shows_as_it_is_spelled() -> None:
    assert repr(ALL) == "ALL"
    assert repr(field("x")) == "field('x')"


def test_a_specification_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        A.field = "b"  # type: ignore[attr-defined] # what is tested


def test_comparisons_are_listed_in_the_order_written() -> None:
    where = (A & ~(B | C)) | ALL

    assert list(comparisons(where)) == [A, B, C]
    assert list(comparisons(ALL)) == []


def test_a_double_negation_is_kept_as_written() -> None:
    assert Not(Not(A)) == ~~A


def test_orders_put_nulls_last_unless_asked_otherwise() -> None:
    assert field("x").asc() == Order("x")
    assert field("x").desc() == Order("x", descending=True)
    assert field("x").asc(nulls_first=True) == Order("x", nulls_first=True)
    assert field("x").desc(nulls_first=True) == Order("x", True, True)


def test_an_increment_is_a_value() -> None:
    assert Inc(2) == Inc(2) != Inc(3)


def test_fields_of_a_class_are_its_attributes() -> None:
    item = fields(Item)

    assert (item.qty >= 1) == (field("qty") >= 1)
    assert dir(item) == ["id", "name", "note", "qty"]
    assert not hasattr(item, "__wrapped__")
    with pytest.raises(UsageError, match="Item has no field 'nope'"):
        _ = item.nope
    with pytest.raises(UsageError, match="is no entity"):
        fields(int)


def test_a_field_is_compared_with_values() -> None:
    with pytest.raises(UsageError, match="compares a field with a value"):
        field("low") < field("high")  # noqa: B015 - builds a filter


class Watched:
    """Count how often it is compared."""

    looks = 0

    def __init__(self, number: int) -> None:
        self.number = number

    @override
    def __hash__(self) -> int:
        return hash(self.number)

    @override
    def __eq__(self, other: object) -> bool:
        type(self).looks += 1
        return isinstance(other, Watched) and self.number == other.number


def test_a_value_is_found_among_many_without_a_look_at_each() -> None:
    where = field("it").in_(Watched(n) for n in range(1_000))

    found = [matches(where, {"it": Watched(n)}) for n in (999, 1_000)]

    assert found == [True, False]
    assert Watched.looks < 10


def test_what_may_change_is_none_of_the_values_of_a_filter() -> None:
    assert not matches(field("it").in_(["a"]), {"it": ["a"]})


def test_a_key_that_is_spelled_out_leaves_the_rest_of_its_filter() -> None:
    one, other = field("id") == 1, field("id") == 2

    assert key_in(one, ["id"]) == ((1,), ALL)
    assert key_in(A & one & B, ["id"]) == ((1,), A & B)
    assert key_in(one & other, ["id"]) == ((1,), other)
    assert key_in(one & A, ["a", "id"]) == ((1, 1), ALL)
    for open_one in (one | other, ~one, field("id") >= 1, ALL):
        assert key_in(open_one, ["id"]) is None
    assert key_in(one, ["id", "a"]) is None
