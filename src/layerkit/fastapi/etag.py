"""Conditional requests (RFC 9110, section 13): ETag, If-None-Match and If-Match."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from fastapi import Depends, Header, HTTPException, Request, Response, status

from layerkit.core.errors import PreconditionFailedError, UsageError

Version: TypeAlias = int | str
"""What changes whenever the entity does: a version number, or a text such as a hash."""

IS_CONDITIONAL: Final = "layerkit.if_match"
"""Set in the ASGI scope where stale data means that If-Match does not hold."""

_SENDABLE: Final = re.compile(r"[!#-~]*")
_TAG: Final = re.compile(r'(?:W/)?"[!#-~\x80-\xff]*+"')
# A list may have empty elements: section 5.6.1.
_ELEMENT: Final = rf"[ \t]*+(?:{_TAG.pattern}[ \t]*+)?"
_LIST: Final = re.compile(rf"{_ELEMENT}(?:,{_ELEMENT})*+")
_NUMBER: Final = re.compile(r'"(0|[1-9][0-9]{0,17})"')
_KEPT: Final = ("Cache-Control", "Content-Location", "Date", "ETag", "Expires", "Vary")
_READING: Final = {"GET", "HEAD"}


@dataclass(frozen=True, slots=True)
class EntityTags:
    """Hold what a conditional header names.

    Attributes:
        tags: The entity tags as sent, quotes and ``W/`` included; None without the
            header.
        is_any: True for ``*``, which stands for whatever there is.
    """

    tags: tuple[str, ...] | None = None
    is_any: bool = False

    @property
    def version(self) -> int | None:
        """The version that the client has read, where tags are made from numbers.

        None where it names none: there was no header, or it was ``*``.

        Raises:
            PreconditionFailedError: The tag is weak, or no number of ours: it is the
                tag of no version.
            HTTPException: 400, several tags: compare those by ``check``.
        """
        if self.tags is None or self.is_any:
            return None
        if len(self.tags) != 1:
            raise HTTPException(
                status.HTTP_400_BAD_REQUEST, "If-Match takes one entity tag here"
            )
        number = _NUMBER.fullmatch(self.tags[0])
        if number is None:
            raise PreconditionFailedError
        return int(number[1])

    def check(self, version: Version | None) -> None:
        """Go on only if *version* is among the tags; all is well without the header.

        Tags are compared strongly: a weak one never matches.

        Args:
            version: The version that there is now; None where there is nothing, which
                no header but an absent one agrees to.

        Raises:
            PreconditionFailedError: It is not.
            UsageError: *version* can't be written as an entity tag.
        """
        if self.tags is None:
            return
        if version is None or not (self.is_any or entity_tag(version) in self.tags):
            raise PreconditionFailedError


@dataclass(frozen=True, slots=True)
class ETagSender:
    """Send a version as the ETag of an answer; what an ``ETag`` parameter is.

    Attributes:
        request: The request.
        response: Where FastAPI takes further headers from.
        known: What the client has already, by If-None-Match.
    """

    request: Request
    response: Response
    known: EntityTags

    def send(self, version: Version) -> None:
        """Send *version*, and no body where a GET or HEAD names it in If-None-Match.

        That is an error to the scope of the request, which is rolled back: call it in
        routes that only read, or before anything is written.

        Args:
            version: An int, or a text of visible ASCII without ``"``.

        Raises:
            HTTPException: 304, the client has this version; the answer keeps
                Cache-Control, Content-Location, Date, Expires and Vary.
            UsageError: *version* can't be written as an entity tag.
        """
        tag = entity_tag(version)
        headers = self.response.headers
        headers["ETag"] = tag
        opaque = {known.removeprefix("W/") for known in self.known.tags or ()}
        is_known = self.known.is_any or tag in opaque  # weakly: section 13.1.2
        if is_known and self.request.method in _READING:
            kept = {name: headers[name] for name in _KEPT if name in headers}
            raise HTTPException(status.HTTP_304_NOT_MODIFIED, headers=kept)


def entity_tag(version: Version) -> str:
    """Return the strong entity tag of *version*: ``"7"``, quotes included.

    Raises:
        UsageError: It is a text with other than visible ASCII, or with ``"``.
    """
    text = str(version)
    if _SENDABLE.fullmatch(text) is None:
        raise UsageError(
            f"{version!r} can't be an ETag: it takes visible ASCII without quotes; "
            "send a number or a hash"
        )
    return f'"{text}"'


def read_tags(name: str, lines: Iterable[str] | None) -> EntityTags:
    """Return what a conditional header says.

    Args:
        name: The name of the header, for the error.
        lines: Its values, one a line of the request; None without the header.

    Raises:
        HTTPException: 400, the header is malformed: the condition can't be known, and
            to ignore it could overwrite the work of others.
    """
    if not lines:
        return EntityTags()
    text = ",".join(lines).strip(" \t")
    if text == "*":
        return EntityTags((), is_any=True)
    tags = _TAG.findall(text) if _LIST.fullmatch(text) else []
    if not tags:
        raise HTTPException(
            status.HTTP_400_BAD_REQUEST,
            f'{name} is malformed: it takes entity tags such as "7", or *',
        )
    return EntityTags(tuple(tags))


_MatchLines: TypeAlias = Annotated[
    list[str] | None,
    Header(alias="If-Match", description="The ETag that was read, or *."),
]
_NoneMatchLines: TypeAlias = Annotated[
    list[str] | None,
    Header(alias="If-None-Match", description="ETags that are known, or *."),
]


async def _if_match(request: Request, lines: _MatchLines = None) -> EntityTags:
    tags = read_tags("If-Match", lines)
    if tags.tags is not None:
        request.scope[IS_CONDITIONAL] = True
    return tags


async def _if_match_required(request: Request, lines: _MatchLines = None) -> EntityTags:
    if not lines:
        raise HTTPException(
            status.HTTP_428_PRECONDITION_REQUIRED,
            "Send If-Match with the ETag that you have read",
        )
    return await _if_match(request, lines)


async def _etag(
    request: Request, response: Response, lines: _NoneMatchLines = None
) -> ETagSender:
    # Asked for by readers alone, so that a malformed one stops no change.
    asked = lines if request.method in _READING else None
    return ETagSender(request, response, read_tags("If-None-Match", asked))


def answers_of(dependency: object, methods: Collection[str]) -> tuple[int, ...]:
    """Return the statuses that *dependency* brings to a route of these *methods*."""
    if dependency is _etag:
        return (304, 400) if _READING & {*methods} else ()
    if dependency is _if_match_required:
        return (400, 412, 428)
    return (400, 412) if dependency is _if_match else ()


ETag: TypeAlias = Annotated[ETagSender, Depends(_etag)]
"""Send a version: ``etag: ETag`` as a parameter, ``etag.send(user.version)`` inside.

A GET that names this version in If-None-Match is answered 304, without a body; one
whose header is malformed, 400. Where something is changed, the header is ignored.
"""

IfMatch: TypeAlias = Annotated[EntityTags, Depends(_if_match)]
"""Take the client's If-Match: ``if_match: IfMatch`` as a parameter.

``if_match.check(user.version)`` raises PreconditionFailedError, 412, where it does not
hold; ``if_match.version`` is the number that the client has read. A StaleDataError of
the route is answered 412 as well. A malformed header is answered 400.
"""

IfMatchRequired: TypeAlias = Annotated[EntityTags, Depends(_if_match_required)]
"""As ``IfMatch``, and answers 428 where the header is missing (RFC 6585, section 3)."""
