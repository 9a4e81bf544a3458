"""RepositoryContract: what every repository does alike."""

from layerkit.testing.contracts.aggregates import AggregatesContract
from layerkit.testing.contracts.bulk import BulkContract
from layerkit.testing.contracts.counters import CountersContract
from layerkit.testing.contracts.histories import HistoriesContract
from layerkit.testing.contracts.locks import LocksContract
from layerkit.testing.contracts.pages import PagesContract
from layerkit.testing.contracts.records import RecordsContract
from layerkit.testing.contracts.scopes import ScopesContract
from layerkit.testing.contracts.verbs import VerbsContract


class RepositoryContract(
    VerbsContract,
    BulkContract,
    CountersContract,
    AggregatesContract,
    PagesContract,
    RecordsContract,
    ScopesContract,
    LocksContract,
    HistoriesContract,
):
    """Test all verbs of a repository, one by one and in random histories."""
