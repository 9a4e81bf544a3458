"""The one rule of secrets: what is shown of settings, errors and log lines.

A value is known to be secret by its type (SecretStr), by the name that it goes by, or
by its place in a text: the password of an address, ``password=...``, ``Bearer ...``,
and what pydantic, SQLAlchemy and the servers of databases quote of rejected data.

Texts come from clients, so every step takes time that is linear in their length. No
pattern gives back what it has read (``++``) or begins inside of it, and what is looked
for once and not there is not looked for again.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, SecretBytes, SecretStr

MASK: Final = "***"

# "HTTPKey2-x" is http_key_x: capitals, digits and punctuation part the words.
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]++")
_KINDS: Final = (
    "auth|authori[sz]ation|cookie|credential|dsn|jwt|(?<!by)(?<!com)pass|passwd"
    "|passphrase|password|private|pwd|secret|session|signature|token"
)
_ONE_SECRET: Final = re.compile(f"(?:{_KINDS})$")
_SECRET: Final = re.compile(
    f"(?:{_KINDS})s?(?:_|$)|passw|passphrase|credential|sessionid"
    "|(?:access|api|auth|encryption|master|private|secret|signing)_?key"
)
# A key opens a lock, as STRIPE_KEY does, unless one of these says that it does not.
_KEY: Final = re.compile(r"(?:_|^)keys?(?:_|$)")
_PLAIN_KEY: Final = re.compile(
    "^keys?$|(?:_|^)(?:cache|candidate|column|composite|dict|entity|event|field|foreign"
    "|group|idempotency|index|item|lock|message|natural|object|order|page|partition"
    "|primary|public|redis|routing|row|shard|sort|surrogate|unique)(?:_|$)"
)
# What ends so is about a secret and not the secret: TOKEN_URL, SESSION_TIMEOUT.
_ABOUT: Final = re.compile(
    "(?:_|^)(?:age|alg|algorithm|audience|backend|class|count|days|dir|domain|enabled"
    "|endpoint|expiration|expires?|expiry|field|file|format|header|host|hours|httponly"
    "|issuer|length|lifetime|limit|method|minutes|mode|ms|name|path|policy|port|prefix"
    "|provider|required|retries|samesite|scheme|seconds|secure|size|timeout|ttl|type"
    "|ur[il]|version)$"
)

# A password may hold an @ that nobody escaped, so it goes on to the last one: of the
# text that is an address, of the quotes around it, or of what has no white space.
_ADDRESS: Final = re.compile(r"\s*+[A-Za-z][\w+.-]*+://[^\s:/?#]*+:")
_USER: Final = re.compile(r"(?:(['\"])[\w+.-]*+)?://[^\s:/?#]*+:")
_SPACE: Final = re.compile(r"\s")
_LONGEST_PASSWORD: Final = 2_048  # a token of a cloud, say
# password=x, ?api_key=x, {"token": "x"}, and that inside of JSON: {\"token\": \"x\"}
_NAMED: Final = re.compile(
    r"(?<![\w.-])(?:(?:bearer|basic)\s++"
    r"|([\w.-]++)(?:=|\\*+['\"]\s?:\s?)(?:b(?=['\"]))?)",
    re.IGNORECASE,
)
_QUOTE: Final = re.compile(r"(?<!\\)(\\*+)(['\"])")
# A quote inside belongs to the value where no end of anything follows it.
_BARE: Final = re.compile(r"(?:[^\s,;&#)\]}'\"]|['\"](?![\s,;&#)\]}]|$))*+")
_NO_VALUES: Final = {"", "None", "null", "True", "False", "true", "false"}

_QUOTED_DATA: Final = (
    ("input_value=", ", input_type="),  # pydantic
    ("[parameters: ", "]"),  # SQLAlchemy
    ("Failing row contains (", ")."),  # PostgreSQL and its drivers
    (")=(", ") "),
    ("DETAIL: ", ""),
    ("CONTEXT: ", ""),
    ("invalid input ", ""),
    ("Duplicate entry ", " for key "),  # MariaDB and MySQL
    (" value: '", "' for column "),
    (" near '", "' at line "),
)
"""What libraries and servers write before and after data; "" is the end of the line."""

# The line of a statement that PostgreSQL points into; psycopg2 writes values into it.
_LINE: Final = re.compile(r"\bLINE \d++: .*+")
# PostgreSQL quotes data and names alike: what it calls wrong is data, unless the word
# before the quotes says whose name it is; and so is what it says this of, behind it.
_WRONG: Final = re.compile(
    r"\b(?:invalid|malformed|out of range|syntax error|unrecognized)\b"
)
_NAME: Final = re.compile(
    r"\b(?:column|constraint|encoding|function|near|relation|table|type)\s$"
)
_SAID_BEHIND: Final = (" is out of range", " is not a", " is not valid", " not recogn")


def is_secret_name(name: str) -> bool:
    """Tell whether a text that goes by *name* is a secret, such as ``dbPassword``.

    ``api_key``, ``API-KEY`` and ``apiKey`` are alike. What is about a secret, such as
    ``TOKEN_URL``, is not one; nor is a key that opens nothing, such as ``primary_key``.
    """
    words = _words(name)
    if _ABOUT.search(words):
        return False
    is_key = _KEY.search(words) and not _PLAIN_KEY.search(words)
    return bool(is_key or _SECRET.search(words))


def hides(name: str, value: object) -> bool:
    """Tell whether *value* is a secret, for going by *name*.

    What is empty, true or false is not a secret. A number is, where the name ends with
    the word for it, as in ``pin_token``; ``MAX_TOKENS`` and ``AUTH_LEVEL`` are amounts.
    """
    if value is None or isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return _ONE_SECRET.search(_words(name)) is not None
    return is_secret_name(name) and not (isinstance(value, str | bytes) and not value)


def redacted(name: str, value: object) -> Any:
    """Return *value* as it may be shown: secrets as ``***``, also inside addresses.

    Args:
        name: The setting's name; text under a name such as ``API_KEY`` is a secret.
        value: What it holds; containers and models are walked.
    """
    if isinstance(value, SecretStr | SecretBytes):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, BaseModel):
        value = dict(value)
    elif hides(name, value):
        return MASK
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, Mapping):
        return {key: redacted(f"{name}_{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(name, item) for item in value]
    # pydantic's URL types are no strings, and show their passwords.
    shown = redacted_text(str(value))
    return value if shown == str(value) else shown


def redacted_text(text: str, *, is_cut: bool = False) -> str:
    """Return *text* with ``***`` in the place of what is known to be secret.

    Args:
        text: Any text.
        is_cut: True where more came after it: what may be a password up to there is
            taken for one.
    """
    whole = None if is_cut else _ADDRESS.match(text)
    if whole and (at := text.rfind("@", whole.end())) >= 0:
        text = f"{whole[0]}{MASK}{text[at:]}"
    text = _masked(text, _passwords(text, is_cut=is_cut))
    text = _masked(text, _named(text))
    text = _LINE.sub(f"LINE: {MASK}", text)
    text = _masked(text, _wrong(text))
    for before, after in _QUOTED_DATA:
        text = _masked(text, _quoted(text, before, after))
    return text


def _masked(text: str, secrets: Iterable[tuple[int, int]]) -> str:
    """Return *text* with ``***`` from where each of *secrets* begins to its end."""
    parts, done = [], 0
    for start, end in secrets:
        parts += [text[done:start], MASK]
        done = end
    return "".join((*parts, text[done:]))


def _words(name: str) -> str:
    return "_".join(_WORDS.findall(name)).lower()


def _passwords(text: str, *, is_cut: bool) -> Iterator[tuple[int, int]]:
    length, word_end, last, position = len(text), 0, -1, 0
    while user := _USER.search(text, position):
        start, quote = user.end(), user[1]
        if quote:
            end = _find(text, quote, start)
            at = text.rfind("@", start, end)
        else:
            if start > word_end:
                space = _SPACE.search(text, start)
                word_end = space.start() if space else length
                last = text.rfind("@", start, word_end)
            end, at = word_end, last
        if is_cut and end == length and end - max(start, at) <= _LONGEST_PASSWORD:
            at = end
        position = max(start, at)
        if at >= start:
            yield start, at


def _named(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the values are of what goes by the name of a secret."""
    position, line_end = 0, -1
    while named := _NAMED.search(text, position):
        name, position = named[1] or "token", named.end()
        if not is_secret_name(name):
            continue
        if line_end < position:
            line_end = _find(text, "\n", position)
        end = _end_of_value(text, position, line_end)
        value = text[position:end]
        if value in _NO_VALUES or (value.isdigit() and not hides(name, 0)):
            continue
        yield position, end
        position = end


def _end_of_value(text: str, start: int, line_end: int) -> int:
    """Return where the value ends: what nothing closes goes on to the line's end."""
    if opening := _QUOTE.match(text, start):
        for closing in _QUOTE.finditer(text, opening.end(), line_end):
            if closing[2] == opening[2] and len(closing[1]) <= len(opening[1]):
                return closing.end()
    elif not text.startswith(("[", "{", "("), start):
        return next(_BARE.finditer(text, start)).end()
    return line_end


def _quoted(text: str, before: str, after: str) -> Iterator[tuple[int, int]]:
    """Yield where the data is that a library quotes between *before* and *after*."""
    end = 0
    while (found := text.find(before, end)) >= 0:
        start = found + len(before)
        end = line_end = _find(text, "\n", start)
        if after and (end := text.rfind(after, start, line_end)) < 0:
            end = text.find(after, start)  # data of several lines
            if end < 0:
                end, after = line_end, ""
        yield start, end


def _wrong(text: str) -> Iterator[tuple[int, int]]:
    """Yield where PostgreSQL quotes data that it calls wrong."""
    position = 0
    while (quote := text.find('"', position)) >= 0:
        before = text[max(position, text.rfind("\n", position, quote)) : quote]
        start = quote + 1
        end = text.find('"', start)
        if before.endswith(" ") and _WRONG.search(before):
            if _NAME.search(before) and not text.startswith(("'", "E'"), start):
                position = start
                continue
            line_end = _find(text, "\n", start)
            last = text.rfind('"', start, line_end)
            end = next((at for at in (last, end) if at >= 0), line_end)
        elif end < 0 or not text.startswith(_SAID_BEHIND, end + 1):
            position = start
            continue
        yield start, end
        position = end + 1


def _find(text: str, wanted: str, start: int) -> int:
    """Return where *wanted* is, or where *text* ends."""
    found = text.find(wanted, start)
    return found if found >= 0 else len(text)


def place_of(address: str) -> str:
    """Return host, port and path of *address*; its user, password and query are gone.

    A password may hold an ``@`` or a ``?`` that nobody escaped, so it goes up to the
    last ``@``. Nothing is left where that is behind a ``?``: nobody can tell what of
    the rest is secret.
    """
    before, _, place = address.partition("://")[2].rpartition("@")
    return "" if "?" in before else place.partition("?")[0]
