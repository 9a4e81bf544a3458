"""The routes of customers: services on the session of the request."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from layerkit import ALL, field
from layerkit.sync import run
from tests.adoption.sync_shop.after.repositories import CustomerRepository
from tests.adoption.sync_shop.after.services import CustomerService
from tests.adoption.sync_shop.database import SessionDep
from tests.adoption.sync_shop.schemas import CustomerIn, CustomerOut, Listed
from tests.adoption.sync_shop.security import Staff

router = APIRouter(prefix="/customers", tags=["customers"])


def get_customers(session: SessionDep) -> CustomerService:
    return CustomerService(CustomerRepository(session))


Customers = Annotated[CustomerService, Depends(get_customers)]


@router.post("", status_code=201)
def create_customer(body: CustomerIn, customers: Customers) -> CustomerOut:
    return CustomerOut.model_validate(run(customers.register(body)))


@router.get("")
def list_customers(
    session: SessionDep,
    skip: int = Query(0, ge=0),
    limit: int = Query(20, ge=1, le=100),
    name: str | None = None,
) -> Listed[CustomerOut]:
    where = ALL if name is None else field("name").icontains(name)
    page = run(
        CustomerRepository(session).paginate(
            where, order_by=field("email").asc(), size=limit, offset=skip, total="exact"
        )
    )
    return Listed(
        items=[CustomerOut.model_validate(row) for row in page.items], total=page.total
    )


@router.get("/{customer_id}")
def get_customer(customer_id: int, customers: Customers) -> CustomerOut:
    return CustomerOut.model_validate(run(customers.get_entity(customer_id)))


@router.delete("/{customer_id}", status_code=204, dependencies=[Staff])
def delete_customer(customer_id: int, customers: Customers) -> None:
    run(customers.delete_entity(customer_id))
