"""The lock installs anywhere, whatever has been released since it was made."""

from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.project import ROOT


def pins() -> dict[str, Requirement]:
    """Return what the lock pins, by name."""
    lines = (ROOT / "requirements" / "dev.txt").read_text("utf-8").splitlines()
    found = [line.removesuffix(" \\") for line in lines if line[:1].isalpha()]
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, found)}


def needs(pin: Requirement) -> list[Requirement]:
    """Return what the pinned release needs here, with its extras, where installed."""
    try:
        texts = requires(pin.name) or []
    except PackageNotFoundError:  # for another Python than this one
        return []
    if not pin.specifier.contains(version(pin.name)):  # `make lowest` has older ones
        return []
    extras = ["", *pin.extras]
    return [
        need
        for need in map(Requirement, texts)
        if not need.marker
        or any(need.marker.evaluate({"extra": extra}) for extra in extras)
    ]


def test_lock_pins_each_extra_that_a_pinned_package_asks_for() -> None:
    # Before 23.3, pip takes `coverage[toml]` for another package than the pinned
    # `coverage`, and fails as soon as a newer release than the pinned one appears.
    locked = pins()

    missing = {
        f"{need.name}[{extra}], for {pin.name}"
        for pin in locked.values()
        for need in needs(pin)
        for extra in need.extras - locked[canonicalize_name(need.name)].extras
    }

    assert "coverage" in locked
    assert not missing
