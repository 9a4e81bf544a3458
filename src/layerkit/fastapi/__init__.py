"""The adapter to FastAPI: injection, error answers, and what goes around routes.

Needs the extra ``fastapi``.
"""

from layerkit.core.extras import require_extra

require_extra("fastapi", package=__name__, extra="fastapi")

from layerkit.fastapi.aggregating import Aggregating, aggregating
from layerkit.fastapi.errors import (
    ProblemRenderer,
    Renderer,
    app_exception_handler,
    problem_handler,
)
from layerkit.fastapi.etag import (
    EntityTags,
    ETag,
    ETagSender,
    IfMatch,
    IfMatchRequired,
    entity_tag,
)
from layerkit.fastapi.inject import Inject
from layerkit.fastapi.install import install
from layerkit.fastapi.listing import FilterBy, Listing, PageOut, listing
from layerkit.fastapi.middleware import CatchAllMiddleware, CorrelationMiddleware
from layerkit.fastapi.openapi import problems

__all__ = [
    "Aggregating",
    "CatchAllMiddleware",
    "CorrelationMiddleware",
    "ETag",
    "ETagSender",
    "EntityTags",
    "FilterBy",
    "IfMatch",
    "IfMatchRequired",
    "Inject",
    "Listing",
    "PageOut",
    "ProblemRenderer",
    "Renderer",
    "aggregating",
    "app_exception_handler",
    "entity_tag",
    "install",
    "listing",
    "problem_handler",
    "problems",
]
