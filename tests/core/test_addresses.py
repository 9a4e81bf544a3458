"""What is left of an address that is shown."""

import pytest

from layerkit.core.redaction import place_of


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("redis://:pa@ss-x@127.0.0.1:6379/0", "127.0.0.1:6379/0"),
        ("postgresql://bob:pa@ss-x/y@h/shop", "h/shop"),
        ("postgresql://bob:pass-x@[::1]:5/shop?ssl=true", "[::1]:5/shop"),
        ("postgresql://bob:pa://ss-x@h", "h"),
        ("postgresql://h/shop?sslpassword=ss-x", "h/shop"),
        ("postgresql://bob:pa?ss-x@h/shop", ""),
        ("postgresql://bob@h/shop?sslpassword=pa@ss-x", ""),
        ("bob:pa@ss-x", ""),
        ("", ""),
    ],
)
def test_an_address_is_shown_from_its_last_at_on(address: str, place: str) -> None:
    assert place_of(address) == place
