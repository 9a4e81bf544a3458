"""Which tests have their coverage measured."""

import pytest
from coverage import Coverage


@pytest.fixture
def measured() -> Coverage | None:
    return Coverage.current()


@pytest.mark.unmeasured
def test_what_is_marked_so_is_not_measured_nor_its_fixtures(
    measured: Coverage | None,
) -> None:
    assert measured is None
    assert Coverage.current() is None


def test_the_next_one_is_measured_where_the_run_is(
    request: pytest.FixtureRequest,
) -> None:
    is_run_measured = request.config.pluginmanager.hasplugin("_cov")

    assert (Coverage.current() is not None) == is_run_measured
