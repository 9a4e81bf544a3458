"""Runs the benchmarks of this folder and prints ratios against their baselines.

A benchmark is a module `bench_<name>.py` with an attribute `BENCHMARK`, one or a tuple
of them; README.md shows one whole.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from statistics import median

RUNS = 3
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))

Case = Callable[[], float] | Callable[[], Coroutine[None, None, float]]


@dataclass(frozen=True)
class Benchmark:
    """Several ways to do one thing.

    Attributes:
        title: What is compared.
        baseline: The case that the others are compared with.
        cases: By name, a function that does the work and returns the seconds that one
            operation took.
        conclude: Makes a closing line from the median of each case, in seconds.
        runs: How often each case is measured.
    """

    title: str
    baseline: str
    cases: Mapping[str, Case]
    conclude: Callable[[Mapping[str, float]], str] | None = None
    runs: int = RUNS


def measure(case: Case) -> float:
    """Run *case* once, an async one in a loop of its own."""
    result = case()
    return result if isinstance(result, float) else asyncio.run(result)


def report(benchmark: Benchmark) -> str:
    """Measure every case, in turns with the others, and return the table."""
    seconds: dict[str, list[float]] = {name: [] for name in benchmark.cases}
    for _ in range(benchmark.runs):
        for name, case in benchmark.cases.items():
            seconds[name].append(measure(case))
    medians = {name: median(values) for name, values in seconds.items()}
    width = max(map(len, seconds))
    lines = [benchmark.title]
    for name, values in seconds.items():
        row = "".join(f"{in_units(value):>10}" for value in values)
        ratio = medians[name] / medians[benchmark.baseline]
        lines.append(
            f"  {name:<{width}}{row}  median {in_units(medians[name]):>8}"
            f"  {ratio:5.2f} x {benchmark.baseline}"
        )
    if benchmark.conclude is not None:
        lines.append(f"  {benchmark.conclude(medians)}")
    return "\n".join(lines)


def in_units(seconds: float) -> str:
    """Write *seconds* in the unit that leaves one to three digits before the point."""
    for size, unit in UNITS:
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / UNITS[-1][0]:.1f} {UNITS[-1][1]}"


def find(names: Sequence[str] = ()) -> dict[str, tuple[Benchmark, ...]]:
    """Return the benchmarks of the modules called *names*, or of all.

    Raises:
        SystemExit: A name is unknown.
    """
    found = sorted(Path(__file__).parent.glob("bench_*.py"))
    known = [path.stem.removeprefix("bench_") for path in found]
    if unknown := set(names) - set(known):
        sys.exit(f"no benchmark {sorted(unknown)}; there are {known}")
    return {name: _benchmarks(name) for name in names or known}


def _benchmarks(name: str) -> tuple[Benchmark, ...]:
    found = import_module(f"benchmarks.bench_{name}").BENCHMARK
    return found if isinstance(found, tuple) else (found,)


def main(names: Sequence[str]) -> None:
    """Print the report of each benchmark."""
    for benchmark in chain(*find(names).values()):
        print(report(benchmark), end="\n\n")


if __name__ == "__main__":
    main(sys.argv[1:])
