"""Checks that the modules of an application import each other's public side only.

Needs the extra ``boundaries``. This release holds the import guard alone;
``verify_modules`` and the graph of an application's modules arrive here.
"""

from layerkit.core.extras import require_extra

require_extra("grimp", package=__name__, extra="boundaries")

__all__: list[str] = []
