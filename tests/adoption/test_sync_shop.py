"""A synchronous shop on SQLModel and psycopg: the same tests before and after."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response

from tests.adoption.clients import Watched, calling, count
from tests.adoption.sync_shop.after.main import create_app as shop_after
from tests.adoption.sync_shop.before.main import create_app as shop_before
from tests.adoption.sync_shop.security import TOKEN
from tests.examples.serving import listening
from tests.support.databases import fresh_database

pytestmark = pytest.mark.unmeasured

SHOPS = {"before": shop_before, "after": shop_after}
STAFF = {"X-Token": TOKEN}
TOGETHER = 8


@pytest.fixture
def shop_url(postgres_server: str) -> Iterator[str]:
    """The address of an empty database, for SQLAlchemy with psycopg."""
    with fresh_database(postgres_server) as url:
        yield url.replace("+asyncpg", "+psycopg")


@pytest.fixture(params=SHOPS)
def shop(request: pytest.FixtureRequest, shop_url: str) -> FastAPI:
    return SHOPS[request.param](shop_url)


@pytest.fixture
async def client(shop: FastAPI) -> AsyncIterator[AsyncClient]:
    async with calling(shop) as opened:
        yield opened


async def customer(client: AsyncClient, email: str = "ada@example.org") -> int:
    answer = await client.post("/customers", json={"email": email, "name": "Ada"})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


async def product(client: AsyncClient, sku: str = "lamp", **given: int) -> int:
    sent = {"sku": sku, "name": sku.title(), "price": 500, "stock": 10} | given
    answer = await client.post("/products", json=sent, headers=STAFF)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


async def order(client: AsyncClient, customer_id: int, *lines: tuple[int, int]) -> Any:
    ordered = [{"product_id": p, "quantity": q} for p, q in lines]
    sent = {"customer_id": customer_id, "lines": ordered}
    return await client.post("/orders", json=sent)


def refused(answer: Response, status: int, code: str, field: str | None = None) -> str:
    """Return the message of a refusal in the shop's own form."""
    error = answer.json()["error"]
    found = (answer.status_code, error.pop("code"), error.pop("field"))
    assert found == (status, code, field)
    [(name, message)] = error.items()
    assert name == "message"
    return str(message)


# Customers


async def test_a_customer_is_stored_and_read(client: AsyncClient) -> None:
    made = await client.post("/customers", json={"email": "Ada@X.org", "name": "Ada"})

    read = await client.get(f"/customers/{made.json()['id']}")

    assert made.status_code == 201
    assert read.json() == {"id": 1, "email": "ada@x.org", "name": "Ada"}


async def test_a_second_customer_of_an_email_is_refused(client: AsyncClient) -> None:
    await customer(client)

    answer = await client.post(
        "/customers", json={"email": "ADA@example.org", "name": "Eve"}
    )
    listed = await client.get("/customers")

    assert refused(answer, 409, "duplicate", "email") == "this email is taken"
    assert listed.json()["total"] == 1


async def test_customers_come_in_pages_with_their_number(client: AsyncClient) -> None:
    for letter in "cabd":
        await customer(client, f"{letter}@example.org")

    page = await client.get("/customers?skip=1&limit=2")
    beyond = await client.get("/customers?skip=9")
    found = await client.get("/customers?name=DA")
    wild = await client.get("/customers?name=%25")

    assert [c["email"][0] for c in page.json()["items"]] == ["b", "c"]
    assert page.json()["total"] == beyond.json()["total"] == 4
    assert beyond.json()["items"] == []
    assert found.json()["total"] == 4
    assert wild.json() == {"items": [], "total": 0}


async def test_a_customer_that_is_not_there_is_named(client: AsyncClient) -> None:
    read = await client.get("/customers/7")
    deleted = await client.delete("/customers/7", headers=STAFF)

    for answer in (read, deleted):
        assert refused(answer, 404, "not_found") == "there is no customer 7"


async def test_orders_and_their_lines_go_with_the_customer(
    client: AsyncClient, shop_url: str
) -> None:
    ada, eve = await customer(client), await customer(client, "eve@example.org")
    lamp = await product(client)
    for buyer in (ada, ada, eve):
        await order(client, buyer, (lamp, 1))

    answer = await client.delete(f"/customers/{ada}", headers=STAFF)

    assert (answer.status_code, answer.content) == (204, b"")
    assert (await client.get(f"/customers/{ada}")).status_code == 404
    assert [count(shop_url, table) for table in ("orders", "order_lines")] == [1, 1]


async def test_only_staff_deletes_customers_and_writes_products(
    client: AsyncClient,
) -> None:
    ada = await customer(client)

    deleted = await client.delete(f"/customers/{ada}")
    made = await client.post("/products", json={}, headers={"X-Token": "guess"})

    assert refused(deleted, 401, "http") == "staff only"
    assert refused(made, 401, "http") == "staff only"
    assert (await client.get(f"/customers/{ada}")).status_code == 200


# Products


async def test_a_product_is_changed_in_part(client: AsyncClient) -> None:
    lamp = await product(client)

    changed = await client.patch(
        f"/products/{lamp}", json={"price": 700}, headers=STAFF
    )
    nothing = await client.patch(f"/products/{lamp}", json={}, headers=STAFF)
    absent = await client.patch("/products/7", json={"price": 1}, headers=STAFF)

    expected = {"id": lamp, "sku": "lamp", "name": "Lamp", "price": 700}
    expected |= {"stock": 10, "views": 0}
    assert changed.json() == nothing.json() == expected
    assert refused(absent, 404, "not_found") == "there is no product 7"


async def test_a_second_product_of_a_sku_is_refused(client: AsyncClient) -> None:
    await product(client)

    sent = {"sku": "lamp", "name": "Lamp", "price": 1}
    answer = await client.post("/products", json=sent, headers=STAFF)

    assert refused(answer, 409, "duplicate", "sku") == "this sku is taken"


async def test_products_are_found_by_their_price(client: AsyncClient) -> None:
    for sku, price in (("sofa", 90_000), ("lamp", 500), ("mug", 600)):
        await product(client, sku, price=price)

    answer = await client.get("/products?max_price=600&limit=1")

    assert [p["sku"] for p in answer.json()["items"]] == ["lamp"]
    assert answer.json()["total"] == 2


async def test_views_are_counted(client: AsyncClient) -> None:
    lamp = await product(client)

    for _ in range(2):
        await client.post(f"/products/{lamp}/view")
    answer = await client.post(f"/products/{lamp}/view")
    absent = await client.post("/products/7/view")

    assert answer.json()["views"] == 3
    assert refused(absent, 404, "not_found") == "there is no product 7"


# Orders


async def test_an_order_takes_from_the_stock_and_knows_its_total(
    client: AsyncClient,
) -> None:
    ada, lamp = await customer(client), await product(client)
    mug = await product(client, "mug", price=200)

    placed = await order(client, ada, (lamp, 2), (mug, 1))
    read = await client.get(f"/orders/{placed.json()['id']}")
    left = (await client.get("/products")).json()["items"]

    assert placed.status_code == 201
    assert placed.json() == read.json()
    assert (read.json()["status"], read.json()["total"]) == ("placed", 1200)
    assert read.json()["lines"] == [
        {"product_id": lamp, "quantity": 2, "price": 500},
        {"product_id": mug, "quantity": 1, "price": 200},
    ]
    assert [p["stock"] for p in left] == [8, 9]


async def test_an_order_that_can_not_be_filled_leaves_nothing(
    client: AsyncClient, shop_url: str
) -> None:
    ada, lamp = await customer(client), await product(client)
    mug = await product(client, "mug", stock=1)

    short = await order(client, ada, (lamp, 2), (mug, 2))
    unknown = await order(client, ada, (lamp, 2), (7, 1))
    nobody = await order(client, 7, (lamp, 1))
    left = (await client.get("/products")).json()["items"]

    assert refused(short, 409, "out_of_stock") == "not enough of mug is left"
    assert refused(unknown, 404, "not_found") == "there is no product 7"
    assert refused(nobody, 404, "not_found") == "there is no customer 7"
    assert [p["stock"] for p in left] == [10, 1]
    assert [count(shop_url, table) for table in ("orders", "order_lines")] == [0, 0]


async def test_a_cancelled_order_gives_back_what_it_took_once(
    client: AsyncClient,
) -> None:
    ada, lamp = await customer(client), await product(client)
    placed = (await order(client, ada, (lamp, 4))).json()

    cancelled = await client.post(f"/orders/{placed['id']}/cancel")
    again = await client.post(f"/orders/{placed['id']}/cancel")
    absent = await client.post("/orders/7/cancel")
    left = (await client.get("/products")).json()["items"]

    assert cancelled.json() == placed | {"status": "cancelled"}
    assert refused(again, 409, "not_placed") == f"order {placed['id']} is cancelled"
    assert refused(absent, 404, "not_found") == "there is no order 7"
    assert [p["stock"] for p in left] == [10]


async def test_reports_count_and_add_up(client: AsyncClient) -> None:
    ada, lamp = await customer(client), await product(client)
    mug = await product(client, "mug", price=200)
    gone = (await order(client, ada, (lamp, 1))).json()["id"]
    await client.post(f"/orders/{gone}/cancel")
    await order(client, ada, (lamp, 1), (mug, 3))
    await order(client, ada, (mug, 1))

    sales = await client.get("/orders/sales")
    top = await client.get("/reports/top-products")

    assert sales.json() == [
        {"status": "cancelled", "orders": 1, "total": 500},
        {"status": "placed", "orders": 2, "total": 1300},
    ]
    assert top.json() == [{"sku": "mug", "sold": 4}, {"sku": "lamp", "sold": 1}]


# What the application promises around its routes


INVALID: list[tuple[str, str, Any, str]] = [
    ("POST", "/customers", {"email": "nobody", "name": "x"}, "body.email"),
    ("POST", "/customers", {"email": "a@b"}, "body.name"),
    ("GET", "/customers/x", None, "path.customer_id"),
    ("GET", "/customers?limit=101", None, "query.limit"),
    ("GET", "/reports/top-products?limit=x", None, "query.limit"),
    ("POST", "/orders", {"customer_id": 1, "lines": []}, "body.lines"),
    ("POST", "/orders/x/cancel", None, "path.order_id"),
]


async def test_invalid_input_is_answered_in_the_shops_form(client: AsyncClient) -> None:
    for method, path, sent, field in INVALID:
        answer = await client.request(method, path, json=sent)

        assert refused(answer, 422, "invalid", field)


async def test_paths_and_methods_that_are_not_there_are_answered_in_it_too(
    client: AsyncClient,
) -> None:
    nowhere = await client.get("/nowhere")
    method = await client.put("/orders/1", json={})

    assert (nowhere.status_code, method.status_code) == (404, 405)


async def test_what_was_stored_is_there_before_the_answer_is_sent(
    shop: FastAPI, shop_url: str
) -> None:
    watched = Watched(shop, lambda: count(shop_url, "orders"))
    async with watched.calling() as client:
        ada, lamp = await customer(client), await product(client)
        watched.seen.clear()
        await order(client, ada, (lamp, 1))
        await order(client, ada, (lamp, 99))
        await client.delete(f"/customers/{ada}", headers=STAFF)

    assert watched.seen == [(201, 1), (409, 1), (204, 0)]


async def test_another_client_reads_it_right_after_the_answer(shop: FastAPI) -> None:
    async with (
        listening(shop) as address,
        AsyncClient(base_url=f"http://{address}") as one,
        AsyncClient(base_url=f"http://{address}") as other,
    ):
        for number in range(20):
            ada = await customer(one, f"ada{number}@example.org")
            assert (await other.get(f"/customers/{ada}")).status_code == 200


async def test_clients_at_once_take_what_is_there_and_no_errors(
    client: AsyncClient,
) -> None:
    answers = await asyncio.gather(
        *(
            client.post("/customers", json={"email": f"{n % 4}@x.org", "name": "x"})
            for n in range(TOGETHER)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [201] * 4 + [409] * 4
    for answer in answers:
        if answer.status_code == 409:
            refused(answer, 409, "duplicate", "email")


def test_the_openapi_document_is_the_same_to_the_letter(shop_url: str) -> None:
    before, after = (make(shop_url) for make in SHOPS.values())

    assert before.openapi() == after.openapi()
    assert list(before.openapi()["paths"]) == list(after.openapi()["paths"])


# What the move has mended: these hold after it, and did not before


@pytest.fixture
def moved(shop_url: str) -> FastAPI:
    return SHOPS["after"](shop_url)


async def test_views_at_once_are_all_counted_after_the_move(moved: FastAPI) -> None:
    async with calling(moved) as client:
        lamp = await product(client)
        await asyncio.gather(
            *(client.post(f"/products/{lamp}/view") for _ in range(TOGETHER))
        )
        last = await client.post(f"/products/{lamp}/view")

    assert last.json()["views"] == TOGETHER + 1


async def test_orders_at_once_sell_nothing_twice_after_the_move(moved: FastAPI) -> None:
    async with calling(moved) as client:
        ada, lamp = await customer(client), await product(client, stock=3)
        answers = await asyncio.gather(
            *(order(client, ada, (lamp, 1)) for _ in range(TOGETHER))
        )
        [left] = (await client.get("/products")).json()["items"]

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201] * 3 + [409] * (TOGETHER - 3)
    assert left["stock"] == 0


async def test_an_unknown_error_is_answered_in_the_shops_form_after_the_move(
    moved: FastAPI,
) -> None:
    @moved.get("/fails")
    def fails() -> None:
        raise RuntimeError("hunter2")

    async with calling(moved) as client:
        answer = await client.get("/fails")

    message = refused(answer, 500, "internal_error")
    assert message == "Internal server error"
    assert len(answer.headers["x-request-id"]) == 32
