"""Reports: what a client may group by and add up, and nothing else."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from layerkit.fastapi import Aggregating, aggregating, install
from layerkit.repository import AggregateRow, InMemoryRepository, field
from tests.fastapi.conftest import Serve

REPORT = aggregating(by=["status", "region"], sum={"amount"}, max={"amount"})


@dataclass
class Order:
    status: str
    region: str
    amount: Decimal
    secret: int = 0
    id: int | None = None


async def answer_of(serve: Serve, query: str) -> tuple[int, Any]:
    orders = InMemoryRepository[Order, int](model_class=Order)
    rows = [("new", "n", "0.10"), ("new", "s", "0.20"), ("old", "n", "9")]
    await orders.create_many(Order(s, r, Decimal(a)) for s, r, a in rows)
    app = FastAPI()
    install(app)

    @app.get("/report")
    async def report(
        asked: Annotated[Aggregating, Depends(REPORT)],
    ) -> list[AggregateRow]:
        return await asked.of(orders, field("region") == "n")

    async with serve(app) as client:
        found = await client.get(f"/report?{query}")
        if query == "openapi":
            found = await client.get("/openapi.json")
    return found.status_code, found.json()


async def test_a_client_groups_and_adds_up_what_is_allowed(serve: Serve) -> None:
    status, rows = await answer_of(serve, "by=status&sum=amount&sum=amount&max=amount")

    assert status == 200
    assert rows[0] == {
        "by": {"status": "new"},
        "count": 1,
        "sum": {"amount": "0.10"},
        "min": {},
        "max": {"amount": "0.10"},
        "avg": {},
    }
    assert len(rows) == 2


async def test_a_client_groups_by_several_fields_or_none(serve: Serve) -> None:
    _, both = await answer_of(serve, "by=region&by=status")
    _, whole = await answer_of(serve, "")

    assert [list(row["by"].values()) for row in both] == [["n", "new"], ["n", "old"]]
    assert [row["count"] for row in whole] == [2]


@pytest.mark.parametrize(
    "query", ["by=secret", "sum=secret", "by=status&by=", "max=id"]
)
async def test_what_is_not_allowed_is_a_422(serve: Serve, query: str) -> None:
    status, problem = await answer_of(serve, query)

    assert status == 422
    assert "secret" not in str(problem).replace("secret='", "")


async def test_a_figure_of_nothing_is_no_parameter(serve: Serve) -> None:
    status, rows = await answer_of(serve, "avg=secret")
    _, document = await answer_of(serve, "openapi")

    parameters = document["paths"]["/report"]["get"]["parameters"]
    items = {p["name"]: p["schema"]["items"] for p in parameters}
    for one in items.values():
        one.setdefault("enum", [one.get("const")])  # pydantic before 2.10 has both
    assert (status, rows[0]["avg"]) == (200, {})
    assert items == {
        "by": {"enum": ["region", "status"], "type": "string"},
        "sum": {"const": "amount", "enum": ["amount"], "type": "string"},
        "max": {"const": "amount", "enum": ["amount"], "type": "string"},
    }
