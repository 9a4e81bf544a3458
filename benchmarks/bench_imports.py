"""What `import layerkit` costs beyond pydantic, each time in a fresh interpreter."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from statistics import median

from benchmarks.run import Benchmark

IMPORTS = 7
AIM_MILLISECONDS = 60
# pydantic loads half of itself with the first model, which layerkit has.
A_MODEL = "from pydantic import BaseModel; M = type('M', (BaseModel,), {})"


def importing(statement: str) -> Callable[[], float]:
    """Return a case: the median time of *statement* over some interpreters."""
    source = (
        f"import time; start = time.perf_counter(); {statement}; "
        "print(time.perf_counter() - start)"
    )

    def case() -> float:
        # What is installed is compiled already; one run more does that here.
        times = [_run(source) for _ in range(IMPORTS + 1)]
        return median(times[1:])

    return case


def _run(source: str) -> float:
    environment = {
        k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"
    }
    command = [sys.executable, "-c", source]
    done = subprocess.run(
        command, capture_output=True, check=True, text=True, env=environment
    )
    return float(done.stdout)


def beyond_pydantic(medians: Mapping[str, float]) -> str:
    """Say how far the import is from its aim."""
    cost = (medians["layerkit"] - medians["pydantic"]) * 1000
    return f"layerkit: {cost:.0f} ms beyond pydantic (aim: {AIM_MILLISECONDS} at most)"


BENCHMARK = Benchmark(
    title="Import, with what it imports",
    baseline="pydantic",
    cases={
        "pydantic": importing(A_MODEL),
        "layerkit": importing("import layerkit"),
        "layerkit.testing": importing("import layerkit.testing"),
        "layerkit.settings": importing("import layerkit.settings"),
        "layerkit.sql": importing("import layerkit.sql"),
        "layerkit.fastapi": importing("import layerkit.fastapi"),
    },
    conclude=beyond_pydantic,
)
