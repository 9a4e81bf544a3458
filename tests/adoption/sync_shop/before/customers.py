"""The routes of customers, with the queries in them."""

from fastapi import APIRouter, Query
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, func, select

from tests.adoption.sync_shop.before.duplicates import duplicate
from tests.adoption.sync_shop.database import SessionDep
from tests.adoption.sync_shop.errors import absent
from tests.adoption.sync_shop.models import Customer
from tests.adoption.sync_shop.schemas import CustomerIn, CustomerOut, Listed
from tests.adoption.sync_shop.security import Staff

router = APIRouter(prefix="/customers", tags=["customers"])


@router.post("", status_code=201)
def create_customer(body: CustomerIn, session: SessionDep) -> CustomerOut:
    customer = Customer(email=body.email.lower(), name=body.name)
    session.add(customer)
    try:
        session.commit()
    except IntegrityError as error:
        session.rollback()
        raise duplicate(error) or error from error
    session.refresh(customer)
    return CustomerOut.model_validate(customer)


@router.get("")
def list_customers(
    session: SessionDep,
    skip: int = Query(0, ge=0),
    limit: int = Query(20, ge=1, le=100),
    name: str | None = None,
) -> Listed[CustomerOut]:
    found, counted = select(Customer), select(func.count()).select_from(Customer)
    if name is not None:
        matches = col(Customer.name).icontains(name, autoescape=True)
        found, counted = found.where(matches), counted.where(matches)
    rows = session.exec(found.order_by(Customer.email).offset(skip).limit(limit)).all()
    return Listed(
        items=[CustomerOut.model_validate(row) for row in rows],
        total=session.exec(counted).one(),
    )


@router.get("/{customer_id}")
def get_customer(customer_id: int, session: SessionDep) -> CustomerOut:
    customer = session.get(Customer, customer_id)
    if customer is None:
        raise absent("customer", customer_id)
    return CustomerOut.model_validate(customer)


@router.delete("/{customer_id}", status_code=204, dependencies=[Staff])
def delete_customer(customer_id: int, session: SessionDep) -> None:
    customer = session.get(Customer, customer_id)
    if customer is None:
        raise absent("customer", customer_id)
    session.delete(customer)
    session.commit()
