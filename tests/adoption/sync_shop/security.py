"""Who may change the catalogue, which the move leaves as it is."""

from typing import Annotated

from fastapi import Depends, Header, HTTPException

TOKEN = "letmein"


def require_staff(x_token: Annotated[str, Header()] = "") -> None:
    if x_token != TOKEN:
        raise HTTPException(401, "staff only")


Staff = Depends(require_staff)
