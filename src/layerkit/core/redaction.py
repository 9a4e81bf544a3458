"""Keeping secrets out of what is shown: of settings, and in log lines.

A value is known to be secret by its type (SecretStr), by the name that it goes by, or
by its place in a text: the password of an address, ``password=...``, ``Bearer ...``,
and what pydantic, SQLAlchemy and PostgreSQL quote of rejected data.
"""

import re
from typing import Final

MASK: Final = "***"

# Names are compared without case and punctuation: apiKey, API-KEY and api_key alike.
_PUNCTUATION: Final = re.compile(r"[\W_]+")
_SECRET_NAME: Final = re.compile(
    r"passw|passphrase|pass$|pwd|secret|token|authorization|cookie|credential|dsn"
    r"|(?:api|access|private|signing|encryption)key|^auth$"
)
# Up to the last @: a password may hold one that nobody escaped.
_ADDRESS: Final = re.compile(r"^(\s*[A-Za-z][\w+.-]*://[^:/?#@]*):.*@", re.DOTALL)

# All repeats are bounded, so that a long text is read in linear time.
_NAME: Final = r"[\w.-]{0,40}(?:passw|passphrase|pwd|secret|token|api_?key)[\w.-]{0,40}"
_VALUE: Final = r"""(?:'[^']{0,500}'|"[^"]{0,500}"|[^\s,;&#)\]}'"]{1,500})"""
_IN_TEXT: Final = tuple(
    (re.compile(pattern, re.IGNORECASE | re.MULTILINE), replacement)
    for pattern, replacement in (
        # postgresql://app:password@host
        (r"(://[^\s:/?#@]{0,200}):\S{0,500}@", rf"\1:{MASK}@"),
        # password=x, ?api_key=x, {"token": "x"}
        (rf"(?<![\w.-])({_NAME}=){_VALUE}", rf"\1{MASK}"),
        (rf"(['\"]{_NAME}['\"]\s?:\s?){_VALUE}", rf"\1{MASK}"),
        (r"\b(Bearer|Basic)\s[\w.~+/=-]{1,2000}", rf"\1 {MASK}"),
        # pydantic, SQLAlchemy, PostgreSQL
        (r"(input_value=).*?(, input_type=)", rf"\1{MASK}\2"),
        (r"(\[parameters: ).*(\]$)", rf"\1{MASK}\2"),
        (r"^(DETAIL: ).*", rf"\1{MASK}"),
    )
)


def is_secret_name(name: str) -> bool:
    """Tell whether what goes by *name* is a secret, such as ``dbPassword``."""
    return _SECRET_NAME.search(_PUNCTUATION.sub("", name).lower()) is not None


def redacted_text(text: str) -> str:
    """Return *text* with ``***`` in the place of what is known to be secret."""
    text = _ADDRESS.sub(rf"\1:{MASK}@", text)
    for pattern, replacement in _IN_TEXT:
        text = pattern.sub(replacement, text)
    return text


def place_of(address: str) -> str:
    """Return host, port and path of *address*; its user, password and query are gone.

    A password may hold an ``@`` or a ``?`` that nobody escaped, so it goes up to the
    last ``@``. Nothing is left where that is behind a ``?``: nobody can tell what of
    the rest is secret.
    """
    before, _, place = address.partition("://")[2].rpartition("@")
    return "" if "?" in before else place.partition("?")[0]
