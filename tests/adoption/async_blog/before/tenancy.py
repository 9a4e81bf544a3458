"""Whose blog a request is about."""

from typing import Annotated, TypeAlias

from fastapi import Depends, Header, HTTPException

TENANTS = {"acme", "globex"}


async def get_tenant(x_tenant: Annotated[str, Header()]) -> str:
    if x_tenant not in TENANTS:
        raise HTTPException(401, "unknown tenant")
    return x_tenant


TenantDep: TypeAlias = Annotated[str, Depends(get_tenant)]
