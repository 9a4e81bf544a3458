"""The plan of a class: which indexes its documents were written with."""

from typing import Final

from layerkit.core.errors import AlreadyExistsError, UsageError
from layerkit.redis.server import COMMIT, Server
from layerkit.redis.steps import Kind, Seen, Steps, digest_of, mark_of

_BEING_MADE: Final = b"being made"
_CHUNK: Final = 500


async def check_plan(server: Server, kind: Kind, *, writes: bool) -> bool:
    """Make sure that what is stored has the indexes that the class asks for now.

    A commit looks at it again: another process may make them anew.

    Args:
        server: Where the keys are.
        kind: The class.
        writes: True lets the class give its plan to a home that has none.

    Returns:
        True once there is a plan, so that there is no need to ask again.

    Raises:
        UsageError: The documents were written with other indexes.
    """
    layout = kind.layout
    if writes:
        await server.call("SET", layout.plan_name, layout.plan, "NX")
    stored = await server.call("GET", layout.plan_name)
    if stored not in {None, layout.plan}:
        name = kind.adapter.name
        raise UsageError(
            f"the documents of {name} were written with other indexes or unique rules "
            f"than the class has now: run `await database.reindex({name})` once, when "
            "nothing older writes any more"
        )
    return stored is not None


async def reindex(server: Server, kind: Kind, prefix: str) -> int:
    """Write every index of a class anew, and return how many documents there are.

    Until it has ended, nothing writes the class, and no home that is new reads it.

    Raises:
        AlreadyExistsError: Two documents break a unique rule that is new.
    """
    layout = kind.layout
    await server.call("SET", layout.plan_name, _BEING_MADE)
    cursor = None
    while cursor != 0:
        cursor, names = await server.call(
            "SCAN", cursor or 0, "MATCH", layout.pattern, "COUNT", _CHUNK
        )
        if indexes := [name for name in names if layout.is_index(name)]:
            await server.call("UNLINK", *indexes)
        cursor = int(cursor)
    count = 0
    low = b"-"
    while members := await server.call(
        "ZRANGE", layout.keys, low, b"+", "BYLEX", "LIMIT", 0, _CHUNK
    ):
        for member in members:
            count += await _rewrite(server, kind, prefix, member)
        low = b"(" + members[-1]
    await server.call("SET", layout.plan_name, layout.plan)
    return count


async def _rewrite(server: Server, kind: Kind, prefix: str, member: bytes) -> bool:
    """Store the document again with its indexes; tell whether it was there.

    Raises:
        AlreadyExistsError: Another document holds a unique value of it.
    """
    name = kind.layout.document(member)
    while (document := await server.call("GET", name)) is not None:
        key, row = kind.read(member, document)
        steps = Steps()
        steps.add(kind, key, Seen(digest_of(document)), row)
        names, values = steps.for_script(mark_of(prefix))
        reply = await server.run(COMMIT, names, values, commits=False)
        if reply[0] == b"done":
            return True
        if reply[0] == b"taken":
            _, rule, _ = list(steps.claims.values())[reply[1] - 1]
            raise AlreadyExistsError(constraint=rule.name, fields=rule.fields)
    return False
