"""What subclasses of the overlay may write, and which names are taken."""

from typing import Any

import pytest
from typing_extensions import override

from layerkit import UsageError
from layerkit.repository import OverlayBackend, OverlayTransaction


async def helper(self: Any) -> None:
    """Be a method of a user's."""


@pytest.mark.parametrize(
    ("base", "name", "owner"),
    [
        (OverlayTransaction, "look", "OverlayTransaction"),
        (OverlayTransaction, "rows", "OverlayTransaction"),
        (OverlayTransaction, "_flush", "OverlayTransaction"),
        (OverlayTransaction, "_store", "Transaction"),
        (OverlayBackend, "_entity", "OverlayBackend"),
    ],
)
def test_a_helper_that_takes_the_name_of_another_method_is_refused(
    base: type, name: str, owner: str
) -> None:
    steps = "stored, stored_holder" if base is OverlayTransaction else "find, insert"

    with pytest.raises(UsageError, match=rf"Mine.{name} .* {owner}.{name}, .* {steps}"):
        type("Mine", (base,), {name: helper})


def test_a_property_that_takes_the_name_of_another_one_is_refused() -> None:
    with pytest.raises(UsageError, match=r"OverlayTransaction\.top"):
        type("Mine", (OverlayTransaction,), {"top": property(lambda _: None)})


def test_steps_and_names_of_ones_own_are_free() -> None:
    class Mine(OverlayTransaction):
        needs_loop = True

        async def claim(self) -> None:  # type: ignore[explicit-override] # as on the page
            await self.seen()

        async def seen(self) -> None:
            """Be a helper."""

    class Theirs(Mine):
        async def seen(self) -> None:  # type: ignore[explicit-override] # not of ours
            """Be another one."""

    assert Theirs.claim is Mine.claim


def test_what_is_marked_with_override_is_meant() -> None:
    class Mine(OverlayTransaction):
        @override
        def unwritten(self) -> int:
            return 0

        @property
        @override
        def top(self) -> Any:
            return super().top

    assert Mine.top is not OverlayTransaction.top
