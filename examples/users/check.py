"""``python -m examples.users.check URL`` acts as a client of a running application.

It prints each answer, and ends with an error at the first one that is wrong. In the end
it removes what it has stored.
"""

import json
import sys
from typing import Any
from uuid import uuid4

import httpx
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

PASSWORD = "correct horse 7"  # noqa: S105 - of nobody
TIMEOUT_SECONDS = 10.0


class WrongAnswerError(Exception):
    """Say which answer was wrong, and what was expected."""


class Client:
    """Call the application, print each answer, and hold it against what is expected."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.etag = ""  # of the last answer

    def call(
        self,
        request: str,
        status: int,
        *,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        **expected: object,
    ) -> Any:
        """Send *request*, such as ``GET /users``, and return the JSON of the answer.

        Raises:
            WrongAnswerError: The status or an *expected* member is another.
        """
        method, path = request.split(maxsplit=1)
        response = self.http.request(method, path, json=body, headers=headers)
        sent = "".join(f" ({name}: {value})" for name, value in (headers or {}).items())
        print(f"{request}{sent} -> {response.status_code} {response.text}".rstrip())
        expect("status", response.status_code, status)
        self.etag = response.headers.get("ETag", "")
        answer = response.json() if response.content else {}
        for member, value in expected.items():
            expect(member, answer.get(member), value)
        for secret in ("$argon2", (body or {}).get("password")):
            if secret and secret in response.text:
                raise WrongAnswerError(f"the answer shows {secret!r}")
        return answer


def expect(what: str, found: object, wanted: object) -> None:
    """Compare.

    Raises:
        WrongAnswerError: *found* is not *wanted*.
    """
    if found != wanted:
        raise WrongAnswerError(f"{what}: expected {wanted!r}, got {found!r}")


def check(url: str) -> None:
    """Go through what a client may do.

    Raises:
        WrongAnswerError: An answer is wrong.
    """
    tag = uuid4().hex[:8]  # the database may hold other users
    with httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        client = Client(http)
        ada = check_registration(client, url, tag)
        check_refusals(client, tag)
        grace = client.call(
            "POST /users", 201, body=person("grace", tag), name=f"Grace {tag}"
        )
        check_lists(client, tag, ada, grace)
        check_changes(client, ada, grace)
    check_origin(url)


def person(name: str, tag: str, password: str = PASSWORD) -> dict[str, Any]:
    """Return the body of a registration."""
    return {
        "email": f"{name}.{tag}@example.org",
        "name": f"{name.title()} {tag}",
        "password": password,
    }


def check_registration(client: Client, url: str, tag: str) -> dict[str, Any]:
    """Register while a websocket is open: the event comes in on it.

    Raises:
        WrongAnswerError: It does not.
    """
    with open_socket(url, tag) as socket:
        body = person("ada", tag) | {"email": f"Ada.{tag}@Example.org"}
        email = f"ada.{tag}@example.org"
        ada: dict[str, Any] = client.call("POST /users", 201, body=body, email=email)
        try:
            message = json.loads(socket.recv(timeout=TIMEOUT_SECONDS))
        except TimeoutError as error:
            raise WrongAnswerError("no event came on the websocket") from error
    print(f"websocket -> {message}")
    expect("type", message["type"], "user_created")
    expect("data", message["data"], {"id": ada["id"]})
    return ada


def check_refusals(client: Client, tag: str) -> None:
    """Register what can't be registered."""
    duplicate = person("ADA", tag)
    client.call("POST /users", 409, body=duplicate, code="ALREADY_EXISTS")
    weak = client.call("POST /users", 422, body=person("eve", tag, "ninechars"))
    expect("rules", len(weak["context"]["rules"]), 2)
    client.call("POST /users", 422, body=person("eve", tag) | {"email": "eve"})
    client.call("POST /users", 422, body=person("eve", tag) | {"is_admin": True})


def check_lists(
    client: Client, tag: str, ada: dict[str, Any], grace: dict[str, Any]
) -> None:
    """List by page, filtered and sorted."""
    path = f"GET /users?name={tag}&sort=-name&limit=1"
    client.call(path, 200, items=[grace], total=2, has_next=True)
    client.call(f"{path}&skip=1", 200, items=[ada], total=2, has_next=False)
    page = client.call(path, 200)
    client.call(f"{path}&cursor={page['next_cursor']}", 200, items=[ada])
    client.call(f"GET /users?cursor={page['next_cursor']}", 422)
    client.call(f"GET /users?email={ada['email'].upper()}", 200, items=[ada])
    client.call("GET /users?sort=password_hash", 422, code="VALIDATION_ERROR")


def check_changes(client: Client, ada: dict[str, Any], grace: dict[str, Any]) -> None:
    """Change and remove, also what is gone."""
    path = f"/users/{ada['id']}"
    client.call(f"GET {path}", 200, **ada)
    read = client.etag
    client.call(f"GET {path}", 304, headers={"If-None-Match": read})
    changed = ada | {"name": "Ada L.", "is_active": False}
    changes = {"name": "Ada L.", "is_active": False}
    as_read = {"If-Match": read}
    client.call(f"PATCH {path}", 200, body=changes, headers=as_read, **changed)
    client.call(f"PATCH {path}", 412, body={"name": "Eve"}, headers=as_read)
    client.call(f"PATCH {path}", 409, body={"email": grace["email"]})
    client.call(f"GET {path}", 200, **changed)
    client.call(f"DELETE {path}", 204)
    for method in ("GET", "PATCH", "DELETE"):
        body = {"name": "Ada"} if method == "PATCH" else None
        client.call(f"{method} {path}", 404, body=body, code="NOT_FOUND")
    client.call(f"DELETE /users/{grace['id']}", 204)


def check_origin(url: str) -> None:
    """Open a websocket from a page that may not.

    Raises:
        WrongAnswerError: It is not refused.
    """
    try:
        with open_socket(url, "eve", Origin("https://evil.example")):
            raise WrongAnswerError("a page of another origin may connect")
    except InvalidStatus as refusal:
        print(f"websocket of another origin -> {refusal.response.status_code}")
        expect("status", refusal.response.status_code, 403)


def open_socket(
    url: str, client_id: str, origin: Origin | None = None
) -> ClientConnection:
    """Return an open websocket; *origin* is of the page that opens it, if one does."""
    address = f"{url.replace('http', 'ws', 1)}/ws/{client_id}"
    timeout = TIMEOUT_SECONDS
    return connect(address, origin=origin, open_timeout=timeout, proxy=None)


def main() -> None:
    """Check the application at the address given on the command line."""
    try:
        check(sys.argv[1])
    except WrongAnswerError as error:
        sys.exit(f"Wrong: {error}")
    print("All answers are right.")


if __name__ == "__main__":
    main()
