"""python -m benchmarks.bench: what everything costs, and how it grows. `make bench`; docs/performance.md explains it.

--short leaves out how it grows, and fails where a part has become 25 % slower beside a product of matrices.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import growth, ratios
from benchmarks.workloads import WORKLOADS
from emulator.commands.device import processor_threads
from emulator.commands.results import format_table

ROUNDS, SHORT_ROUNDS = 30, 8


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; the exit code is 1 where something has become slower."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="the ratios alone, compared with those kept")
    parser.add_argument("--keep", action="store_true", help="keep these ratios in benchmarks/kept.json")
    asked = parser.parse_args(arguments)
    rounds = SHORT_ROUNDS if asked.short else ROUNDS
    with tempfile.TemporaryDirectory() as folder, processor_threads(1):
        found = ratios.ratios(WORKLOADS, Path(folder), rounds)
        print(format_table(ratios.rows(found)), flush=True)
        if asked.keep:
            ratios.keep(found)
        if not asked.short:
            print()
            table = [growth.row(axis, growth.measured(i, Path(folder))) for i, axis in enumerate(growth.AXES)]
            print(format_table(table))
            return 0
        if ratios.processor() not in ratios.kept():
            print(f"no ratios are kept of the processor {ratios.processor()}: nothing is compared", file=sys.stderr)
        slower = ratios.too_much(found, Path(folder), rounds)
    for line in slower.values():
        print(f"error: {line}", file=sys.stderr)
    return 1 if slower else 0


if __name__ == "__main__":
    raise SystemExit(main())
