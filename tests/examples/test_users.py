"""The users example over HTTP: the same on every home, by configuration alone."""

import asyncio
import logging
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response
from pwdlib import PasswordHash

from examples.users.app import create_app
from examples.users.core.settings import AppSettings
from examples.users.repositories.users import UserRepository
from layerkit import ServiceFactory
from layerkit.testing import MockNotification
from tests.examples.serving import serving

PASSWORD = "correct horse 7"

WEAK_PASSWORDS = {
    "short 1": ["has 10 to 128 characters"],
    "1" + "x" * 128: ["has 10 to 128 characters"],
    "1234567890": ["has a letter"],
    "no digit at all": ["has a digit"],
    "ADA1815@example.org": ["is not the e-mail"],
    "": ["has 10 to 128 characters", "has a letter", "has a digit"],
}
INVALID_REGISTRATIONS: list[dict[str, Any]] = [
    {"email": "ada"},
    {"email": "ada@localhost"},
    {"email": "ada@example.org\0"},
    {"email": None},
    {"name": ""},
    {"name": "  "},
    {"name": "x" * 101},
    {"name": "A\0"},
    {"name": None},
    {"password": None},
    {"is_admin": True},
    {"id": 7},
    {"password_hash": "x"},
]
INVALID_CHANGES: list[dict[str, Any]] = [
    {"name": None},
    {"name": ""},
    {"email": None},
    {"email": "ada"},
    {"is_active": None},
    {"password": PASSWORD},
    {"id": 9},
]


def body(name: str = "Ada", **changes: Any) -> dict[str, Any]:
    email = f"{name.lower()}@example.org"
    return {"email": email, "name": name, "password": PASSWORD, **changes}


async def register(client: AsyncClient, name: str = "Ada") -> dict[str, Any]:
    response = await client.post("/users", json=body(name))
    assert response.status_code == 201, response.text
    user: dict[str, Any] = response.json()
    return user


async def names(client: AsyncClient, query: str) -> list[str]:
    response = await client.get(f"/users?{query}")
    assert response.status_code == 200, response.text
    return [user["name"] for user in response.json()["items"]]


def problem(response: Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    assert answer["code"] == code
    return answer


# Registering


async def test_registration_answers_with_the_user_and_never_the_password(
    client: AsyncClient,
) -> None:
    response = await client.post("/users", json=body())

    assert response.status_code == 201
    user = response.json()
    assert user == {
        "id": user["id"],
        "email": "ada@example.org",
        "name": "Ada",
        "is_active": True,
    }


async def test_password_is_stored_as_an_argon2_hash(
    client: AsyncClient, factory: ServiceFactory
) -> None:
    user = await register(client)

    async with factory.scope() as scope:
        stored = await (await scope.get(UserRepository)).get_by_id(user["id"])

    assert stored is not None
    assert stored.password_hash.startswith("$argon2id$")
    assert PasswordHash.recommended().verify(PASSWORD, stored.password_hash)


async def test_email_is_stored_in_lower_case(client: AsyncClient) -> None:
    response = await client.post("/users", json=body(email="Ada@Example.ORG"))

    assert response.json()["email"] == "ada@example.org"


async def test_taken_email_is_refused_in_any_spelling(client: AsyncClient) -> None:
    await register(client)

    response = await client.post("/users", json=body(email="ADA@example.org"))

    answer = problem(response, 409, "ALREADY_EXISTS")
    assert answer["context"]["fields"] == ["email"]


async def test_of_two_registrations_at_once_one_is_refused(client: AsyncClient) -> None:
    racing = (client.post("/users", json=body()) for _ in range(4))

    responses = await asyncio.gather(*racing)

    assert sorted(r.status_code for r in responses) == [201, 409, 409, 409]
    assert await names(client, "") == ["Ada"]


async def test_unique_rule_refuses_what_gets_past_the_check(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_nobody(*_: object) -> None:
        return None

    await register(client)
    monkeypatch.setattr(UserRepository, "get_by_email", find_nobody)

    response = await client.post("/users", json=body())

    answer = problem(response, 409, "ALREADY_EXISTS")
    assert answer["context"]["fields"] == ["email"]


async def test_weak_password_is_refused_by_the_rules_that_it_breaks(
    client: AsyncClient,
) -> None:
    for password, broken in WEAK_PASSWORDS.items():
        registration = body(email="ada1815@example.org", password=password)

        response = await client.post("/users", json=registration)

        answer = problem(response, 422, "VALIDATION_ERROR")
        assert answer["context"] == {"fields": ["password"], "rules": broken}
    assert await names(client, "") == []


async def test_refused_password_is_shown_neither_in_the_answer_nor_in_the_log(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    for password in ("s3cret", ["s3cret"], {"s3cret": 1}):
        response = await client.post("/users", json=body(password=password))

        assert response.status_code == 422
        assert "s3cret" not in response.text
    assert "s3cret" not in caplog.text


async def test_registration_that_is_not_valid_is_refused(client: AsyncClient) -> None:
    for changes in INVALID_REGISTRATIONS:
        response = await client.post("/users", json=body() | changes)

        problem(response, 422, "VALIDATION_ERROR")
    assert await names(client, "") == []


async def test_registration_is_refused_while_it_is_switched_off(
    client: AsyncClient, settings: AppSettings
) -> None:
    settings.FEATURE_REGISTRATION = False

    response = await client.post("/users", json=body())

    problem(response, 403, "FORBIDDEN")


# What follows a registration


async def test_new_user_gets_a_welcome(
    client: AsyncClient, mail: MockNotification
) -> None:
    await register(client)

    mail.assert_sent(to="ada@example.org", type="welcome")
    assert len(mail.sent) == 1


async def test_welcome_is_sent_once_by_an_application_that_was_restarted(
    app: FastAPI, mail: MockNotification
) -> None:
    async with serving(app):
        pass

    async with serving(app) as client:
        await register(client)

    assert len(mail.sent) == 1


async def test_refused_registration_sends_nothing(
    client: AsyncClient, mail: MockNotification
) -> None:
    await register(client)
    mail.sent.clear()

    await client.post("/users", json=body())

    mail.assert_nothing_sent()


# Reading


async def test_get_answers_with_the_user(client: AsyncClient) -> None:
    user = await register(client)

    response = await client.get(f"/users/{user['id']}")

    assert response.status_code == 200
    assert response.json() == user


async def test_list_pages_through_all_users(client: AsyncClient) -> None:
    for name in ("Ada", "Grace", "Alan"):
        await register(client, name)

    first = (await client.get("/users?limit=2")).json()
    last = (await client.get("/users?limit=2&skip=2")).json()

    assert [user["name"] for user in first["items"]] == ["Ada", "Grace"]
    assert (first["total"], first["has_next"]) == (3, True)
    assert [user["name"] for user in last["items"]] == ["Alan"]
    assert (last["total"], last["has_next"]) == (3, False)


async def test_list_pages_there_and_back_by_cursor(client: AsyncClient) -> None:
    for name in ("Ada", "Bob", "Cy"):
        await register(client, name)

    query = {"sort": "-name", "limit": "2"}
    first = (await client.get("/users", params=query)).json()
    await register(client, "Dan")  # what comes meanwhile shifts nothing
    query["cursor"] = first["next_cursor"]
    last = (await client.get("/users", params=query)).json()
    query["cursor"] = last["previous_cursor"]
    back = (await client.get("/users", params=query)).json()
    foreign = await client.get("/users", params={**query, "sort": "name"})

    assert [user["name"] for user in last["items"]] == ["Ada"]
    assert [user["name"] for user in back["items"]] == ["Cy", "Bob"]
    assert foreign.status_code == 422


async def test_who_has_the_version_already_gets_no_body(client: AsyncClient) -> None:
    user = await register(client)
    path = f"/users/{user['id']}"

    shown = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": shown.headers["ETag"]})

    assert (shown.headers["ETag"], again.status_code) == ('"1"', 304)


async def test_patch_of_another_version_than_was_read_is_refused(
    client: AsyncClient,
) -> None:
    user = await register(client)
    path = f"/users/{user['id']}"

    mine = await client.patch(path, json={"name": "A"}, headers={"If-Match": '"1"'})
    late = await client.patch(path, json={"name": "B"}, headers={"If-Match": '"1"'})

    assert (mine.status_code, mine.headers["ETag"]) == (200, '"2"')
    assert late.status_code == 412
    assert (await client.get(path)).json()["name"] == "A"


async def test_list_sorts_by_what_is_allowed(client: AsyncClient) -> None:
    for name in ("Ada", "Grace", "Alan"):
        await register(client, name)

    assert await names(client, "sort=name") == ["Ada", "Alan", "Grace"]
    assert await names(client, "sort=-email") == ["Grace", "Alan", "Ada"]


async def test_list_filters_by_what_is_allowed(client: AsyncClient) -> None:
    for name in ("Ada", "Grace"):
        await register(client, name)
    alan = await register(client, "Alan")
    await client.patch(f"/users/{alan['id']}", json={"is_active": False})

    assert await names(client, "name=AD") == ["Ada"]
    assert await names(client, "email=GRACE@example.org") == ["Grace"]
    assert await names(client, "is_active=true") == ["Ada", "Grace"]
    assert await names(client, "is_active=false&name=a") == ["Alan"]


async def test_wildcard_in_a_filter_is_an_ordinary_character(
    client: AsyncClient,
) -> None:
    await register(client)

    assert await names(client, "name=%25") == []
    assert await names(client, "name=_") == []


async def test_list_refuses_what_is_not_allowed(client: AsyncClient) -> None:
    for query in ("sort=password_hash", "sort=x", "limit=0", "limit=201", "skip=-1"):
        response = await client.get(f"/users?{query}")

        problem(response, 422, "VALIDATION_ERROR")


async def test_filter_that_is_not_allowed_does_not_filter(client: AsyncClient) -> None:
    await register(client)

    assert await names(client, "password_hash=x") == ["Ada"]


# Changing and removing


async def test_patch_changes_what_is_given_alone(client: AsyncClient) -> None:
    user = await register(client)

    response = await client.patch(f"/users/{user['id']}", json={"name": "Ada L."})

    assert response.status_code == 200
    assert response.json() == user | {"name": "Ada L."}
    assert (await client.get(f"/users/{user['id']}")).json() == response.json()


async def test_patch_refuses_an_email_that_is_taken(client: AsyncClient) -> None:
    ada, grace = await register(client), await register(client, "Grace")

    response = await client.patch(f"/users/{ada['id']}", json={"email": grace["email"]})

    problem(response, 409, "ALREADY_EXISTS")
    assert (await client.get(f"/users/{ada['id']}")).json() == ada


async def test_patch_that_is_not_valid_is_refused(client: AsyncClient) -> None:
    user = await register(client)

    for changes in INVALID_CHANGES:
        response = await client.patch(f"/users/{user['id']}", json=changes)

        problem(response, 422, "VALIDATION_ERROR")
    assert (await client.get(f"/users/{user['id']}")).json() == user


async def test_patch_of_nothing_answers_with_the_user(client: AsyncClient) -> None:
    user = await register(client)

    response = await client.patch(f"/users/{user['id']}", json={})

    assert response.status_code == 200
    assert response.json() == user


async def test_deleted_user_is_gone(client: AsyncClient) -> None:
    user = await register(client)

    response = await client.delete(f"/users/{user['id']}")

    assert response.status_code == 204
    problem(await client.get(f"/users/{user['id']}"), 404, "NOT_FOUND")


async def test_delete_of_another_version_than_was_read_is_refused(
    client: AsyncClient,
) -> None:
    user = await register(client)
    path = f"/users/{user['id']}"
    await client.patch(path, json={"name": "Ada L."})

    late = await client.delete(path, headers={"If-Match": '"1"'})
    current = await client.delete(path, headers={"If-Match": '"2"'})

    assert (late.status_code, current.status_code) == (412, 204)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_unknown_id_is_not_found(client: AsyncClient, method: str) -> None:
    json = {"name": "Ada"} if method == "PATCH" else None

    for user_id in (1, 2**31 - 1):
        response = await client.request(method, f"/users/{user_id}", json=json)

        problem(response, 404, "NOT_FOUND")


async def test_what_can_be_no_id_is_refused(client: AsyncClient) -> None:
    for user_id in ("0", "-1", "2147483648", "9" * 40, "x", "1.5"):
        response = await client.get(f"/users/{user_id}")

        problem(response, 422, "VALIDATION_ERROR")


# Around it all


async def test_api_page_documents_the_errors(client: AsyncClient) -> None:
    page = await client.get("/docs")
    openapi = (await client.get("/openapi.json")).json()

    assert page.status_code == 200
    documented = openapi["paths"]["/users"]["post"]["responses"]
    assert documented.keys() == {"201", "400", "403", "409", "422"}


async def test_log_lines_carry_the_correlation_id_of_the_request(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = await client.get("/users/1", headers={"X-Request-ID": "trace-1"})

    assert response.headers["X-Request-ID"] == "trace-1"
    (record,) = (r for r in caplog.records if r.name == "layerkit.fastapi")
    assert vars(record)["correlation_id"] == "trace-1"


async def test_users_outlive_a_restart_where_the_home_keeps_them(
    settings: AppSettings,
) -> None:
    is_kept = settings.DATABASE_URL != "memory://"

    async with serving(create_app(settings)) as client:
        await register(client)
    async with serving(create_app(settings)) as client:
        found = await names(client, "")

    assert found == (["Ada"] if is_kept else [])
