"""What verbs take: an option is known to every repository, be it to refuse it."""

from collections.abc import Mapping
from inspect import Parameter, getmembers, isfunction, signature
from typing import Any

import pytest
from typing_extensions import override

from layerkit.core.errors import NotSupportedError
from layerkit.redis import RedisRepository
from layerkit.repository import BaseRepository, InMemoryRepository, Repository
from layerkit.sql import SQLRepository
from layerkit.testing.contracts.locks import READINGS

VERBS = [
    name
    for name, _ in getmembers(BaseRepository, isfunction)
    if not name.startswith("_") and name != "id_of"
]


class SixVerbs(BaseRepository[Any, int]):
    """Write the six verbs as the base class declares them, and nothing more."""

    @override
    async def create(self, entity: Any) -> Any:
        return entity

    @override
    async def get_by_id(self, entity_id: int) -> Any:
        return None

    @override
    async def get_all(self, skip: int = 0, limit: int = 100) -> list[Any]:
        return []

    @override
    async def update(self, entity_id: int, update_data: dict[str, Any]) -> Any:
        return None

    @override
    async def delete(self, entity_id: int) -> bool:
        return False

    @override
    async def exists(self, entity_id: int) -> bool:
        return False


def parameters(cls: type, verb: str) -> Mapping[str, Parameter]:
    return signature(getattr(cls, verb)).parameters


OPTIONS = [
    pytest.param(verb, option, id=f"{verb}({option}=)")
    for verb in VERBS
    for option in parameters(Repository, verb)
    if option not in parameters(BaseRepository, verb)
]


@pytest.mark.parametrize(("verb", "option"), OPTIONS)
async def test_an_option_that_the_base_class_lacks_is_refused_by_it(
    verb: str, option: str
) -> None:
    needed = {
        name: ()
        for name, each in parameters(Repository, verb).items()
        if each.default is Parameter.empty and name != "self"
    }

    with pytest.raises(NotSupportedError, match=f"{option}="):
        await getattr(SixVerbs(), verb)(**needed, **{option: 1})


def test_some_options_are_lacking() -> None:
    assert {tuple(each.values) for each in OPTIONS} >= {
        ("find", "lock"),
        ("update", "when"),
        ("delete", "expected_version"),
    }


@pytest.mark.parametrize("verb", VERBS)
def test_a_repository_takes_what_the_base_class_does(verb: str) -> None:
    ours = parameters(Repository, verb)

    for name, declared in parameters(BaseRepository, verb).items():
        assert name in ours, f"Repository.{verb} takes no {name}"
        assert ours[name].default == declared.default
        assert ours[name].kind == declared.kind


@pytest.mark.parametrize("cls", [InMemoryRepository, RedisRepository, SQLRepository])
@pytest.mark.parametrize("verb", VERBS)
def test_what_homes_hand_out_takes_what_a_repository_does(
    cls: type[Any], verb: str
) -> None:
    assert list(parameters(cls, verb)) == list(parameters(Repository, verb))


def test_the_contract_tries_the_lock_of_every_verb_that_takes_one() -> None:
    takes_lock = {verb for verb in VERBS if "lock" in parameters(Repository, verb)}

    assert READINGS.keys() == takes_lock
