"""The plan of a class: which indexes its documents were written with."""

from typing import Any, Final

from layerkit.core.errors import AlreadyExistsError, UsageError
from layerkit.redis.keyspace import Keyspace
from layerkit.redis.server import COMMIT
from layerkit.redis.steps import Kind, Seen, Steps, digest_of, mark_of
from layerkit.repository import EntityAdapter

_BEING_MADE: Final = b"being made"
_CHUNK: Final = 500


async def check_plan(
    keyspace: Keyspace, adapter: EntityAdapter[Any], *, writes: bool
) -> None:
    """Make sure once that what is stored has the indexes that the class asks for now.

    A commit looks at it again: another process may rebuild them.

    Args:
        keyspace: The keys of the home.
        adapter: What is known of the class.
        writes: True lets the class give its plan to a home that has none.

    Raises:
        UsageError: The documents were written with other indexes.
    """
    if adapter.entity in keyspace.planned:
        return
    server, layout = keyspace.server, keyspace.kinds[adapter.entity].layout
    if writes:
        await server.call("SET", layout.plan_name, layout.plan, "NX")
    stored = await server.call("GET", layout.plan_name)
    if stored == layout.plan:
        keyspace.planned.add(adapter.entity)
    elif stored is not None:
        name = adapter.name
        raise UsageError(
            f"the documents of {name} were written with other indexes or unique rules "
            f"than the class has now: run `await database.reindex({name})` once, when "
            "nothing older writes any more"
        )


async def reindex(keyspace: Keyspace, adapter: EntityAdapter[Any]) -> int:
    """Rebuild every index of a class, and return how many documents there are.

    Until it has ended, nothing writes the class, and no home that is new reads it.

    Raises:
        AlreadyExistsError: Two documents break a unique rule that is new.
    """
    server, kind = keyspace.server, keyspace.kind(adapter)
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
            count += await _rewrite(keyspace, kind, member)
        low = b"(" + members[-1]
    await server.call("SET", layout.plan_name, layout.plan)
    return count


async def _rewrite(keyspace: Keyspace, kind: Kind, member: bytes) -> bool:
    """Store the document again with its indexes; tell whether it was there.

    Raises:
        AlreadyExistsError: Another document holds a unique value of it.
    """
    server, name = keyspace.server, kind.layout.document(member)
    while (document := await server.call("GET", name)) is not None:
        key, row = kind.read(member, document)
        steps = Steps()
        steps.add(kind, key, Seen(digest_of(document)), row)
        names, values = steps.for_script(mark_of(keyspace.prefix))
        reply = await server.run(COMMIT, names, values, commits=False)
        if reply[0] == b"done":
            return True
        if reply[0] == b"taken":
            _, rule, _ = list(steps.claims.values())[reply[1] - 1]
            raise AlreadyExistsError(constraint=rule.name, fields=rule.fields)
    return False
