"""What is known to be secret, and how long it takes to find out."""

import json
import logging
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from layerkit.core import JSONFormatter
from layerkit.core.redaction import hides, is_secret_name, redacted_text
from layerkit.core.schemas import CreateSchema, refusal
from layerkit.core.serialization import LONGEST
from layerkit.settings import redacted


def line_of(message: str = "", **extra: Any) -> dict[str, Any]:
    record = logging.makeLogRecord({"msg": message, **extra})
    line: dict[str, Any] = json.loads(JSONFormatter().format(record))
    return line


# Names

SECRET = [
    *(
        "AUTHORIZATION",
        "SESSION_COOKIE",
        "AUTH",
        "STRIPE_KEY",
        "FERNET_KEY",
        "API_KEYS",
    ),
    *(
        "password",
        "db_password",
        "DbPass",
        "dbpass",
        "DB_PASSWD",
        "userPwd",
        "passwords",
    ),
    *(
        "SECRET_KEY",
        "clientSecret",
        "token",
        "access-token",
        "authtoken",
        "JWT",
        "OAUTH",
    ),
    *("apiKey", "APIKey", "apikey", "X-API-KEY", "ENCRYPTION_KEY_V2", "masterkey"),
    *("Set-Cookie", "session_id", "sessionid", "credentials", "SENTRY_DSN", "PRIVATE"),
    *("WEBHOOK_SIGNATURE", "HTTPSecret", "AWS_ACCESS_KEY_ID", "STORAGE_ACCESS_KEY"),
    *("private key", "proxy.auth", "password_hash", "passphrase1", "public_access_key"),
]
PLAIN = [
    *(
        "key",
        "KEYS",
        "keyboard",
        "monkey",
        "primary_key",
        "user_foreign_keys",
        "PUBLIC_KEY",
    ),
    *(
        "cacheKey",
        "author",
        "AUTHORS",
        "passenger",
        "bypass",
        "compass_width",
        "secretary",
    ),
    *("tokenizer", "TOKEN_EXPIRE_MINUTES", "SESSION_TIMEOUT", "token_type", "AUTH_URL"),
    *(
        "COOKIE_DOMAIN",
        "cookieName",
        "PASSWORD_MIN_LENGTH",
        "KEY_FILE",
        "name",
        "",
        "42",
    ),
    *("JWT_ALGORITHM", "x" * 40, "DATABASE_URL", "Ünïcode", "description", "signal"),
]


@pytest.mark.parametrize("name", SECRET)
def test_settings_and_logs_hide_a_text_by_the_same_names(name: str) -> None:
    assert redacted(name, "hunter2") == "***"
    assert line_of(data={name: "hunter2"})["data"] == {name: "***"}
    assert line_of(data={name.lower(): "hunter2"})["data"] == {name.lower(): "***"}


@pytest.mark.parametrize("name", PLAIN)
def test_settings_and_logs_show_a_text_that_only_resembles_a_secret(name: str) -> None:
    assert redacted(name, "plain") == "plain"
    assert line_of(data={name: "plain"})["data"] == {name: "plain"}


@given(st.text(), st.text(min_size=1))
@example("Password", "x")
@pytest.mark.unmeasured
def test_settings_and_logs_agree_on_every_name(name: str, value: str) -> None:
    hidden = redacted(name, value) == "***"

    assert hidden == hides(name, value) or redacted_text(value) == "***"
    assert hides(name, value) == is_secret_name(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("TOKEN", None), ("PASSWORD", ""), ("AUTH", False), ("private", True)),
        *(("MAX_TOKENS", 512), ("AUTH_LEVEL", 3), ("TOKEN_TTL", 1.5), ("SALT", b"x")),
        *(("SECRET", b""), ("", 5), ("primary_key", 7), ("API_KEY", 7)),
    ],
)
def test_what_says_how_much_or_whether_is_shown(name: str, value: object) -> None:
    assert redacted(name, value) == value
    assert not hides(name, value)


@pytest.mark.parametrize("name", ["password", "pinToken", "DB_PASS", "secret"])
def test_a_number_that_is_a_secret_is_hidden(name: str) -> None:
    assert redacted(name, 1234) == "***"
    assert line_of(data={name: 1234})["data"] == {name: "***"}
    assert redacted_text(f"{name}=1234 of {name}=None") == f"{name}=*** of {name}=None"


def test_all_that_is_under_the_name_of_a_secret_is_hidden() -> None:
    for value in ({"stripe": "hunter2"}, ["hunter2"], ("hunter2",)):
        assert redacted("API_SECRETS", value) == "***"
        assert line_of(data={"API_SECRETS": value})["data"] == {"API_SECRETS": "***"}


def test_a_group_of_settings_is_judged_by_the_names_of_its_variables() -> None:
    class Access(BaseModel):
        key: str = "hunter2"
        url: str = "https://id.example.org"

    assert redacted("STRIPE", Access()) == {
        "key": "***",
        "url": "https://id.example.org",
    }
    assert redacted("AUTH", Access())["url"] == "https://id.example.org"


# Texts


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # addresses
        ("at postgresql://bob:pa@ss-x@127.0.0.1:1/s?", "at postgresql://bob:***@127.0.0.1:1/s?"),
        ("smtp://a@x.org:hunter2@smtp.x.org", "smtp://a@x.org:***@smtp.x.org"),
        ("is 'redis://:hun ter2@r' x@y", "is 'redis://:***@r' x@y"),
        ("is 'redis://:hun@ter 2@r' x@y", "is 'redis://:***@r' x@y"),
        ("a://b://u:hunter2@c", "a://b:***@c"),
        ("x a://b://u:hunter2@c a://u:hunter2@d", "x a://b:***@c a://u:***@d"),
        ("see http://x.org:80/a and a@b.org", "see http://x.org:80/a and a@b.org"),
        ('{"a":"http://x:1","b":"y@z"}', '{"a":"http://x:1","b":"y@z"}'),
        ("is 'http://x:1", "is 'http://x:1"),
        ("two://a:b c://d:e", "two://a:b c://d:e"),
        ("x " + "r://u:" + "p" * 2_000 + "@h", "x r://u:***@h"),
        # names and values
        ("STRIPE_KEY=hunter2 x", "STRIPE_KEY=*** x"),
        ("primary_key=5, max_tokens=9", "primary_key=5, max_tokens=9"),
        ("password='" + "p" * 2_000 + "'", "password=***"),
        (r"password='hun\'ter2', a='b'", "password=***, a='b'"),
        ("password=hun'ter2 x", "password=*** x"),
        ("token=b'hun ter2' x", "token=b*** x"),
        ('url="/?token=hunter2","b"', 'url="/?token=***","b"'),
        (r'{\"token\": \"hun\\\"ter2\", \"b\"}', r'{\"token\": ***, \"b\"}'),
        ('{"api_keys": ["hunter2", "hunter2"]}\nx', '{"api_keys": ***\nx'),
        ("password='hunter2\nx", "password=***\nx"),
        ("password=\"it's\" x", "password=*** x"),
        ("Basic aHVudGVyMg== x", "Basic *** x"),
        # what others quote
        (
            "[type=int_parsing, input_value='a, input_type=hunter2', input_type=str]",
            "[type=int_parsing, input_value=***, input_type=str]",
        ),
        ("input_value='hunter2\nx", "input_value=***\nx"),
        ("[parameters: ('hun]ter2',)]\n(Back", "[parameters: ***]\n(Back"),
        ("DETAIL:  Key (email)=(hunter2) already exists.\nx", "DETAIL: ***\nx"),
        ("Key (a, b)=(hun, ter2) already exists.", "Key (a, b)=(***) already exists."),
        ("DETAIL:  Failing row contains (1, hun\nter2).\nx", "DETAIL: ***\nx"),
        ('type integer: "x"', 'type integer: "x"'),
        ('invalid input syntax for type uuid: "hunter2"', "invalid input ***"),
        (
            "invalid input for query argument $1: 'hunter2' (an integer is required)",
            "invalid input ***",
        ),
        (
            "(1062, \"Duplicate entry 'hunter2' for key 'x' for key 'email'\")",
            "(1062, \"Duplicate entry *** for key 'email'\")",
        ),
        (
            "Incorrect integer value: 'hunter2' for column `t`.`n` at row 1",
            "Incorrect integer value: '***' for column `t`.`n` at row 1",
        ),
        ("Duplicate entry 'hun\nter2' for key 1", "Duplicate entry *** for key 1"),
        ("Duplicate entry 'hunter2\nx", "Duplicate entry ***\nx"),
        (
            "syntax to use near 'hunter2)' at line 1",
            "syntax to use near '***' at line 1",
        ),
        # what PostgreSQL quotes of data that it calls wrong
        (
            'time field value out of range: "hunter2"\nx',
            'time field value out of range: "***"\nx',
        ),
        ('malformed array literal: "hun"ter2"', 'malformed array literal: "***"'),
        ('malformed literal: "hun\nter2"\nx', 'malformed literal: "***"\nx'),
        ('malformed array literal: "hunter2\nx', 'malformed array literal: "***\nx'),
        ('invalid value "hunter2" for "MM"', 'invalid value "***"'),
        (
            'value "hunter2" is out of range for type integer',
            'value "***" is out of range for type integer',
        ),
        ('"hunter2" is not a valid binary digit', '"***" is not a valid binary digit'),
        ('time zone "hunter2" not recognized', 'time zone "***" not recognized'),
        ("syntax error\nLINE 12: x hunter2\n  ^", "syntax error\nLINE: ***\n  ^"),
        ('syntax error at or near "FROM"', 'syntax error at or near "FROM"'),
        ("syntax error at or near \"'hunter2'\"", 'syntax error at or near "***"'),
        ('CONTEXT:  portal parameter $1 = "hunter2"\nx', "CONTEXT: ***\nx"),
        (
            'null value in column "email" of relation "users"',
            'null value in column "email" of relation "users"',
        ),
        (
            'invalid reference to FROM-clause entry for table "users"',
            'invalid reference to FROM-clause entry for table "users"',
        ),
        ('{"error": "invalid", "user": "ada"}', '{"error": "invalid", "user": "ada"}'),
        ('an invalid one\n "x"', 'an invalid one\n "x"'),
    ],
)  # fmt: skip
def test_a_text_is_shown_without_its_secrets(text: str, shown: str) -> None:
    assert redacted_text(text) == shown
    assert line_of(text)["message"] == shown
    assert redacted("TEXT", text) == shown


WORD = st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=8)
PASSWORD = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@given(WORD, PASSWORD)
@example("bob", "pa@ss-x")
@example("bob", "a/b?c#d")
@example("bob", "://x:y")
def test_the_password_of_an_address_ends_at_the_last_at(user: str, word: str) -> None:
    for before, after in (("", ""), ("at ", " x@y"), ("x=", "")):
        address = f"postgresql://{user}:{word}@127.0.0.1:1/shop"
        shown = f"postgresql://{user}:***@127.0.0.1:1/shop"
        assert redacted_text(f"{before}{address}{after}") == f"{before}{shown}{after}"


@given(PASSWORD)
def test_a_quoted_secret_is_hidden_whatever_is_in_it(word: str) -> None:
    secret = f"<{word}>"
    for text in (
        f"Login(name='ada', password={secret!r})",
        str({"name": "ada", "api_key": secret}),
        json.dumps({"name": "ada", "token": secret}),
        json.dumps(json.dumps({"token": secret, "name": "ada"})),
        f"DETAIL:  Key (email)=({secret}) already exists.",
        f'(1062, "Duplicate entry {secret!r} for key 2")',
        f"[type=x, input_value={secret!r}, input_type=str]",
    ):
        assert secret not in redacted_text(text)


def test_what_a_server_quotes_is_hidden_in_a_chain_of_errors() -> None:
    entry = "ada@x.org"
    cause = ValueError(1062, f"Duplicate entry {entry!r} for key 'email'")
    error = LookupError(f"({cause})\n[SQL: INSERT]\n[parameters: ({entry!r}, 'x')]")
    error.__cause__ = cause

    shown = line_of(exc_info=(LookupError, error, None))["exception"]

    assert entry not in shown
    assert shown.count("Duplicate entry *** for key 'email'") == 2
    assert "[SQL: INSERT]" in shown


# Time and length

ADVERSARIAL = [
    *("password=", "password=password=", "input_value=", ", input_type=", "://", "://:"),
    *("://u:", "x://u:p@", '"x://u:"://z:', "'a://", "[parameters: ", "token://:"),
    *("password='", "password=\"'", "password='\\", '{"token": ', '{\\"token\\": \\"'),
    *("\"'=", '{"a":', "[", "token=[\n", "token='\n", "DETAIL: ", ")=(", ") ", "x="),
    *("Duplicate entry ", "Duplicate entry \n", " value: '", " value: '\n"),
    *(" for key ", " value: ' for"),
    *("a", "A", "Aa", "\\", '\\"', '"', "Bearer ", "Bearer", "-", ".", "@", "\n", " "),
    *("token=x ", "invalid ", 'invalid "', ' invalid \n"', '" is out of range'),
    *(" near '", "LINE 1: ", "LINE 1", "CONTEXT: ", "' at line ", 'invalid table "'),
    *("token=1", "key", ":", "[parameters: \n", "Failing row contains (", "_key"),
]  # fmt: skip


def seconds(text: str) -> float:
    began = time.thread_time()
    redacted_text(text)
    redacted_text(text, is_cut=True)
    is_secret_name(text)
    return time.thread_time() - began


ROUNDS = 30
BETWEEN = 6  # four times the text take code that is linear 4 times as long, or 16


@pytest.mark.unmeasured
@pytest.mark.parametrize("part", ADVERSARIAL)
def test_four_times_the_text_take_four_times_the_time(part: str) -> None:
    short, long = (part * (size // len(part)) for size in (15_000, 60_000))
    shortest = longest = float("inf")
    for _ in range(ROUNDS):  # other load slows some of them, and the text each
        shortest = min(shortest, seconds(short))
        longest = min(longest, seconds(long))
        if longest <= BETWEEN * shortest + 0.001:
            return

    pytest.fail(f"{longest} seconds, and {shortest} for a quarter of the text")


def test_a_line_is_cut_where_it_grows_too_long() -> None:
    line = line_of(
        "m" * 100_000,
        text="t" * 100_000,
        exc_text="\n".join(("first", "x" * 100_000, "y" * 10, "ValueError: last")),
    )

    assert (
        line["message"]
        == "m" * LONGEST + f"... {100_000 - LONGEST} characters left out"
    )
    assert line["text"].endswith("characters left out")
    assert line["exception"].startswith("first\nxxx")
    assert line["exception"].endswith(
        "characters left out\nyyyyyyyyyy\nValueError: last"
    )
    assert len(json.dumps(line)) < 3 * LONGEST + 1_000


def test_a_traceback_of_one_long_line_is_cut() -> None:
    text = line_of(exc_text="x" * 100_000)["exception"]

    assert text.startswith("xxx")
    assert "characters left out" in text
    assert len(text) < LONGEST + 100


def test_extras_are_cut_together() -> None:
    shared: list[Any] = ["x"] * 100
    for _ in range(8):
        shared = [shared] * 100

    line = line_of(nested=shared, many={"first": list(range(100_000))}, other="x")

    assert "left out" in json.dumps(line["nested"])
    assert line["..."] == "2 left out"
    assert "left out" in line_of(many=list(range(100_000)))["many"][-1]
    assert len(json.dumps(line)) < 4 * LONGEST


def test_a_number_too_long_for_decimals_is_cut() -> None:
    assert "left out" in line_of(number=1 << 400_000)["number"]


def test_no_part_of_a_secret_shows_where_a_text_is_cut() -> None:
    room = "x" * (LONGEST - 25)
    for text in (
        f"{room} redis://app:hunter2hunter2hunter2@r",
        f"{room} password='hunter2hunter2hunter2'",
        f"{room} 'r://u:hunter2hunter2hunter2@r'",
    ):
        assert "hunter2" not in line_of(text)["message"]
        assert "hunter2" not in line_of(text=text)["text"]


def test_a_refusal_lists_a_hundred_errors_at_most() -> None:
    class Numbers(CreateSchema):
        numbers: list[int]

    with pytest.raises(ValueError, match="numbers") as caught:
        Numbers.model_validate({"numbers": ["x"] * 10_000})

    refused = refusal("no", caught.value)  # type: ignore[arg-type] # pydantic's own
    assert len(refused.detail["errors"]) == 100
