"""The contracts as outsiders use them, and what they say where a backend is broken."""

from textwrap import dedent, indent

import pytest

BACKEND = """
import contextlib
import copy
import pytest
from layerkit import AlreadyExistsError, MemoryDatabase, Repository
from layerkit.repository import ALL, Comparison, Not, field
from layerkit.repository.entities.checks import completed
from layerkit.repository.scope import Scope
from layerkit.testing.contracts import Capabilities, RepositoryContract
from layerkit.testing.contracts import UnitOfWorkContract
from layerkit.unit_of_work import plain_unit_of_work

class Mine(Repository):
{fault}

@contextlib.asynccontextmanager
async def open_mine(entity):
    yield Mine(MemoryDatabase(), entity)

{mark}
class TestMine({contract}):
{more}
    @pytest.fixture
    def open_repository(self):
        return open_mine
"""

STRICT = "@pytest.mark.asyncio"


@pytest.fixture(autouse=True)
def _loop_scope(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")


def certify(
    pytester: pytest.Pytester,
    fault: str = "pass",
    *options: str,
    contract: str = "RepositoryContract",
    more: str = "",
) -> pytest.RunResult:
    pytester.makepyfile(
        BACKEND.format(
            fault=indent(dedent(fault), " " * 4),
            mark=STRICT,
            contract=contract,
            more=indent(dedent(more), " " * 4),
        )
    )
    return pytester.runpytest_inprocess(
        "-q", "-p", "no:randomly", "-p", "no:cov", *options
    )


def test_a_backend_passes_with_one_fixture(pytester: pytest.Pytester) -> None:
    result = certify(pytester)

    outcomes = result.parseoutcomes()
    assert set(outcomes) <= {"passed", "skipped", "warnings"}
    assert outcomes["passed"] > 150


FAULTS = {
    "wrong null logic": (
        """
        async def find(self, where, *given, **options):
            if isinstance(where, Not):
                where |= field("qty").is_null()
            return await super().find(where, *given, **options)
        """,
        "test_filters_follow_the_logic_of_sql",
    ),
    "lost rollback": (
        """
        def unit_of_work(self, **options):
            return plain_unit_of_work()
        """,
        "test_an_error_undoes_everything_and_goes_on",
    ),
    "off-by-one page": (
        """
        async def paginate(self, *given, size=50, **options):
            return await super().paginate(*given, size=size + 1, **options)
        """,
        "test_pages_hold_every_entity_once",
    ),
    "stale version accepted": (
        """
        async def update(self, entity_id, data, *, expected_version=None, when=None):
            return await super().update(entity_id, data, when=when)
        """,
        "test_a_stale_version_refuses_every_change",
    ),
    "unescaped LIKE": (
        """
        async def find(self, where, *given, **options):
            if isinstance(where, Comparison) and where.value in ("%", "_"):
                where = field(where.field).is_not_null()
            return await super().find(where, *given, **options)
        """,
        "test_texts_are_compared_exactly_and_have_no_wildcards",
    ),
    "shared live objects": (
        """
        async def get_by_id(self, entity_id, *, lock=None):
            held = self.__dict__.setdefault("held", {})
            if entity_id not in held:
                held[entity_id] = await super().get_by_id(entity_id, lock=lock)
            return held[entity_id]
        """,
        "test_an_entity_handed_out_is_no_live_object",
    ),
    "scope ignored by a bulk verb": (
        """
        async def delete_where(self, where, *, expect=None):
            everywhere = copy.copy(self)
            everywhere._scope = Scope(self._adapter)
            return await Repository.delete_where(everywhere, where, expect=expect)
        """,
        "test_no_verb_leaves_its_view",
    ),
    "lost tie-break": (
        """
        async def find(self, where, order_by=(), *given, **options):
            *orders, last = completed(self._adapter, order_by)
            orders.append(last.reversed() if orders else last)
            return await super().find(where, orders, *given, **options)
        """,
        "test_orders_put_nulls_last_and_break_ties_by_key",
    ),
    "unique not enforced": (
        """
        async def create(self, entity):
            try:
                return await super().create(entity)
            except AlreadyExistsError:
                return entity
        """,
        "test_a_taken_unique_value_names_its_fields",
    ),
    "half-applied batch": (
        """
        async def create_many(self, items):
            return len([await self.create(item) for item in items])
        """,
        "test_a_batch_with_a_duplicate_stores_nothing",
    ),
    "lost lock": (
        """
        async def get_by_id(self, entity_id, *, lock=None):
            return await super().get_by_id(entity_id)
        """,
        "test_racing_units_that_lock_what_they_read_lose_nothing",
    ),
    "restored out of its scope": (
        """
        async def restore(self, entity_id):
            everywhere = copy.copy(self)
            everywhere._scope = Scope(self._adapter)
            return await Repository.restore(everywhere, entity_id)
        """,
        "test_no_verb_leaves_its_view",
    ),
    "a guard that is ignored": (
        """
        async def update(self, entity_id, data, *, expected_version=None, when=None):
            return await super().update(
                entity_id, data, expected_version=expected_version
            )
        """,
        "test_a_guarded_change_needs_its_guard",
    ),
    "a verb that always says yes": (
        """
        async def delete(self, entity_id, **options):
            return True
        """,
        "test_delete_of_what_is_absent_is_false",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_backend_fails_by_a_test_that_names_the_fault(
    pytester: pytest.Pytester, fault: str
) -> None:
    code, named_by = FAULTS[fault]

    result = certify(pytester, code, "-k", named_by, contract="UnitOfWorkContract")

    result.stdout.fnmatch_lines([f"FAILED *{named_by}*"])


@pytest.mark.unmeasured
def test_random_histories_find_a_broken_backend(pytester: pytest.Pytester) -> None:
    code, _ = FAULTS["off-by-one page"]
    result = certify(pytester, code, "-k", "test_random_histories_end")

    result.stdout.fnmatch_lines(["*the backend says*the reference*"])


def test_random_histories_leave_out_what_a_backend_lacks(
    pytester: pytest.Pytester,
) -> None:
    lacks = "capabilities = Capabilities(cursors=False, upserts=False)"

    result = certify(pytester, "pass", "-k", "end_as_in", more=lacks)

    deselected = result.parseoutcomes()["deselected"]
    result.assert_outcomes(passed=3, skipped=1, deselected=deselected)  # no readings


def test_what_a_backend_does_not_claim_must_be_refused(
    pytester: pytest.Pytester,
) -> None:
    code = "unit_of_work = staticmethod(plain_unit_of_work)"
    lacks = "capabilities = Capabilities(transactions=False)"

    result = certify(pytester, code, "-k", "refused_where_there_is_none", more=lacks)

    result.stdout.fnmatch_lines(["FAILED *test_a_unit_is_refused*"])


def test_a_known_failure_is_expected_with_its_reason(pytester: pytest.Pytester) -> None:
    code, named_by = FAULTS["a verb that always says yes"]
    known = f"known_failures = {{'{named_by}': 'it can not tell'}}"

    failing = certify(pytester, code, "-k", named_by, "-rx", more=known)
    passing = certify(pytester, "pass", "-k", named_by, more=known)

    failing.stdout.fnmatch_lines(["*it can not tell*"])
    passing.stdout.fnmatch_lines(["*XPASS(strict)*it can not tell*"])


def test_a_known_failure_that_names_no_test_is_an_error(
    pytester: pytest.Pytester,
) -> None:
    known = "known_failures = {'test_nope': 'gone'}"

    result = certify(pytester, "pass", "-k", "absent_is_false", more=known)

    result.stdout.fnmatch_lines(["*known_failures names no test: test_nope*"])


def test_a_contract_without_its_fixture_says_what_to_write(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        from layerkit.testing.contracts import RepositoryContract

        class TestMine(RepositoryContract):
            pass
        """
    )

    result = pytester.runpytest_inprocess(
        "-q", "-p", "no:randomly", "-p", "no:cov", "-k", "delete"
    )

    result.stdout.fnmatch_lines(["*TestMine needs a fixture open_repository*"])
