"""The contracts as outsiders use them, and what they say where a backend is broken."""

import pytest

BACKEND = """
    import contextlib
    import pytest
    from layerkit import MemoryDatabase, Repository
    from layerkit.testing.contracts import Capabilities, RepositoryContract

    class Mine(Repository):
        {fault}

    @contextlib.asynccontextmanager
    async def open_mine(entity):
        yield Mine(MemoryDatabase(), entity)
"""

CERTIFIED = (
    BACKEND
    + """
    {mark}
    class TestMine(RepositoryContract):
        capabilities = Capabilities(transactions=False)

        @pytest.fixture
        def open_repository(self):
            return open_mine
"""
)

STRICT = "@pytest.mark.asyncio"


@pytest.fixture(autouse=True)
def _loop_scope(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")


def certify(pytester: pytest.Pytester, fault: str = "pass") -> pytest.RunResult:
    pytester.makepyfile(CERTIFIED.format(fault=fault, mark=STRICT))
    return pytester.runpytest_inprocess("-q", "-p", "no:randomly", "-p", "no:cov")


def test_a_backend_passes_with_one_fixture(pytester: pytest.Pytester) -> None:
    result = certify(pytester)

    outcomes = result.parseoutcomes()
    assert set(outcomes) <= {"passed", "warnings"}
    assert outcomes["passed"] > 60


@pytest.mark.parametrize(
    ("fault", "named_by"),
    [
        (
            "async def delete(self, entity_id): return True",
            "test_delete_of_what_is_absent_is_false",
        ),
        (
            "async def find(self, where, order_by=(), skip=0, limit=100):"
            " return await super().find(where, order_by, skip, limit - 1)",
            "test_find_skips_and_limits_after_sorting",
        ),
        (
            "async def update(self, entity_id, update_data, *, when=None):"
            " return await super().update(entity_id, update_data)",
            "test_a_guarded_update_is_done_only_where_the_guard_holds",
        ),
    ],
)
def test_a_broken_backend_fails_by_a_test_that_names_the_fault(
    pytester: pytest.Pytester, fault: str, named_by: str
) -> None:
    result = certify(pytester, fault)

    result.stdout.fnmatch_lines([f"FAILED *{named_by}*"])


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

    result = pytester.runpytest_inprocess("-q", "-p", "no:randomly", "-p", "no:cov")

    result.stdout.fnmatch_lines(["*TestMine needs a fixture open_repository*"])
