"""The steps of a commit: what the script looks at, and what it writes."""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any

from layerkit.core.errors import UsageError
from layerkit.redis.layout import Layout
from layerkit.repository import EntityAdapter, UniqueRule
from layerkit.repository.entities.fields import KeyTuple
from layerkit.repository.stores.documents import Documents
from layerkit.repository.stores.tables import Row


@dataclass(frozen=True, slots=True)
class Kind:
    """Know how one entity class is kept.

    Attributes:
        adapter: What is known of the class.
        layout: The names of its keys.
        documents: The form of its documents.
    """

    adapter: EntityAdapter[Any]
    layout: Layout
    documents: Documents

    def read(self, member: bytes, document: bytes) -> tuple[KeyTuple, Row]:
        """Return key and row of the *document* that is stored under *member*.

        Raises:
            UsageError: It is not of this class, or has another key.
        """
        row = self.documents.read(document)
        key = tuple(row[name] for name in self.adapter.key)
        if not self.layout.is_at(member, key):
            raise UsageError(
                f"a document of {self.adapter.name} has the key {key!r}, and is stored "
                f"as {member!r}: another program has written it"
            )
        return key, row


@dataclass(frozen=True, slots=True)
class Seen:
    """Remember a document as the unit has read it.

    Attributes:
        digest: Its SHA-1, by which the script at the commit knows it; "" for none.
        row: What it held.
        is_overtaken: True where an earlier look of the unit has found another one.
    """

    digest: str = ""
    row: Row | None = None
    is_overtaken: bool = False


@dataclass(slots=True)
class Steps:
    """Gather what the script at the commit is given.

    Attributes:
        documents: Those that must be as they were read, by the name of each.
        places: The class and key of each of them; no key for a plan.
        claims: For each unique value: its rule, who will hold it.
        released: Who gives a unique value up.
        writes: Command, key and value.
    """

    documents: dict[bytes, str] = field(default_factory=dict)
    places: list[tuple[Kind, KeyTuple | None]] = field(default_factory=list)
    claims: dict[bytes, tuple[Kind, UniqueRule, bytes]] = field(default_factory=dict)
    released: dict[bytes, bytes] = field(default_factory=dict)
    writes: list[tuple[bytes, ...]] = field(default_factory=list)

    def expect_plan(self, kind: Kind) -> None:
        """Add that documents of *kind* are to have the indexes that it knows."""
        self.documents[kind.layout.plan_name] = digest_of(kind.layout.plan)
        self.places.append((kind, None))

    def add(self, kind: Kind, key: KeyTuple, seen: Seen, row: Row | None) -> None:
        """Add that the document at *key*, which was *seen*, is to hold *row*."""
        layout, old = kind.layout, seen.row
        member = layout.member(key)
        name = layout.document(member)
        self.documents[name] = seen.digest
        self.places.append((kind, key))
        was = set() if old is None else layout.indexes(old)
        now = set() if row is None else layout.indexes(row)
        held = {} if old is None else layout.claims(old)
        claimed = {} if row is None else layout.claims(row)
        for value, rule in claimed.items():
            if value not in held:
                self.claims[value] = kind, rule, member
        self.released |= dict.fromkeys(held.keys() - claimed.keys(), member)
        self.writes += [(b"SREM", index, member) for index in sorted(was - now)]
        self.writes += [(b"SADD", index, member) for index in sorted(now - was)]
        if row is None:
            self.writes += [(b"DEL", name), (b"ZREM", layout.keys, member)]
        else:
            self.writes.append((b"SET", name, kind.documents.write(row)))
            if old is None:
                self.writes.append((b"ZADD", layout.keys, member))

    def for_script(self, mark: bytes) -> tuple[list[bytes], list[Any]]:
        """Return the keys and the values of the script."""
        free = self.released.keys() - self.claims.keys()
        writes = [(b"DEL", name) for name in sorted(free)] + self.writes
        writes += [(b"SET", name, holder) for name, (*_, holder) in self.claims.items()]
        values: list[Any] = [len(self.documents), len(self.claims), len(writes)]
        values += self.documents.values()
        for name, (*_, holder) in self.claims.items():
            values += [holder, self.released.get(name, b"")]
        for command, _, *rest in writes:
            values += [command, *rest]
        names = [*self.documents, *self.claims, *(name for _, name, *_ in writes)]
        return [mark, *names], values


def mark_of(prefix: str) -> bytes:
    """Return a name by which the server knows that it has seen a unit before."""
    return f"{{{prefix}}}:unit:{secrets.token_hex(16)}".encode()


def digest_of(document: bytes) -> str:
    """Return what the script knows *document* by."""
    return hashlib.sha1(document, usedforsecurity=False).hexdigest()
