"""What the events of sessions and engines lead to, each in one place.

All sessions are listened to, so that writes from before the first repository of a
session are known; what else is done here is done to sessions that units of work run on.
"""

from weakref import WeakSet

from sqlalchemy import Connection, Dialect, Engine, event
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction
from sqlalchemy.orm.attributes import instance_state

from layerkit.core.errors import AppException
from layerkit.sql.dialects import check_driver
from layerkit.sql.loading import refuse_hidden_load
from layerkit.sql.moves import changed_columns, follow_update
from layerkit.sql.session import known_unit
from layerkit.sql.snapshots import loaded_values
from layerkit.sql.state import ensure_state, state_of
from layerkit.sql.tracked import check_changes
from layerkit.sql.transaction import SQLTransaction
from layerkit.unit_of_work.transaction import open_blocks

_set_up_already: WeakSet[Dialect] = WeakSet()


@event.listens_for(Session, "after_begin")
def _set_up(session: Session, _: object, connection: Connection) -> None:
    """Treat an engine of the caller's, once it is seen, as one of ours.

    Raises:
        UsageError: Its driver is not supported.
    """
    dialect = connection.dialect
    if dialect not in _set_up_already and _is_watched(session):
        check_driver(dialect).tames(dialect)
        _set_up_already.add(dialect)


@event.listens_for(Session, "do_orm_execute")
def _note_statement(execution: ORMExecuteState) -> None:
    """Note a statement that writes; refuse one that an attribute access sends.

    Raises:
        UsageError: What ``refuse_hidden_load`` raises.
    """
    session = execution.session
    if execution.is_insert or execution.is_update or execution.is_delete:
        ensure_state(session).has_written = True
    is_hidden = execution.is_relationship_load or execution.is_column_load
    if is_hidden and _is_watched(session):
        refuse_hidden_load(execution)


@event.listens_for(Session, "before_flush")
def _check_flush(session: Session, _: object, __: object) -> None:
    """Refuse in a unit of work what a verb would have refused, and count the rest.

    Raises:
        AppException: What ``check_changes`` raises; the unit is rollback-only.
    """
    state = state_of(session)
    unit = None if state is None or state.is_checked else state.unit
    if unit is None:
        return
    try:
        for entity in session.dirty:
            check_changes(session, entity)
    except AppException as error:
        unit.mark_rollback_only(error)
        raise
    unit.note_flush(session)


@event.listens_for(Session, "after_flush")
def _note_flush(session: Session, _: object) -> None:
    """Note what was written: the database may have made up values of it."""
    state = ensure_state(session)
    state.has_written = True
    if state.units:
        written = (*session.new, *session.dirty)
        state.expired.update(map(instance_state, written))
        state.changed = changed_columns(session)


@event.listens_for(Session, "after_flush_postexec")
def _follow_flush(session: Session, _: object) -> None:
    """Follow what the flush has changed to the rows that go by it."""
    state = ensure_state(session)
    changed, state.changed = state.changed, set()
    follow_update(session, changed)


@event.listens_for(Session, "after_transaction_create")
def _note_savepoint(session: Session, begun: SessionTransaction) -> None:
    unit = known_unit(session) if begun.nested else None
    if unit is not None:
        unit.mark(begun)


@event.listens_for(Session, "before_commit")
def _check_commit(session: Session) -> None:
    """Refuse the caller's commit of what a unit has left half done.

    Raises:
        UnitOfWorkError: One has.
    """
    unit = known_unit(session)
    if unit is not None and not session.in_nested_transaction():
        unit.check_veto()


@event.listens_for(Session, "after_commit")
def _note_commit(session: Session) -> None:
    state = state_of(session)
    if state is not None:
        state.committed = session.get_nested_transaction() or session.get_transaction()


@event.listens_for(Session, "after_rollback")
def _note_rollback(session: Session) -> None:
    """Keep what is loaded before it expires; a failed flush rolls back, too."""
    state = state_of(session)
    if state is None or not state.units or session.in_nested_transaction():
        return
    state.kept = loaded_values(session)
    unit = known_unit(session)
    if unit is not None:
        unit.rolled_back()


@event.listens_for(Session, "after_transaction_end")
def _note_end(session: Session, ended: SessionTransaction) -> None:
    """Tell the units of the session that a transaction or a savepoint has ended.

    A flush ends one, too, which nothing has waited for.
    """
    state = state_of(session)
    if state is None:
        return
    committed, state.committed = state.committed is ended, None
    caller = known_unit(session)
    if ended.parent is None:
        state.has_written = False
        if (unit := state.unit) is not None:
            unit.note_end()
        if caller is not None:
            caller.ended(committed=committed)
    elif caller is not None and not committed:
        caller.forget(ended)


@event.listens_for(Engine, "handle_error")
def _note_failure(_: object) -> None:
    """Let the units of this context know that a database has refused a statement."""
    for block in open_blocks():
        if isinstance(block.transaction, SQLTransaction):
            block.transaction.note_failure()


def _is_watched(session: Session) -> bool:
    """Tell whether units of work run on *session*."""
    state = state_of(session)
    return state is not None and bool(state.units)
