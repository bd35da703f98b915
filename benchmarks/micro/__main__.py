"""`python -m benchmarks.micro`: prints the table, and writes it to its place in docs/performance.md."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from benchmarks.micro.operations import operations
from benchmarks.micro.timing import Cost, cost_of, table
from benchmarks.report import machine, write_section


async def costs(samples: int) -> list[Cost]:
    return [await cost_of(operation, samples=samples) for operation in operations()]


def main(given: Sequence[str] | None = None) -> int:
    """Returns 1 when something costs more than it may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro", description=__doc__)
    parser.add_argument("--samples", type=int, default=201, help="of each operation (default: %(default)s)")
    parser.add_argument("--dry", action="store_true", help="print only")
    arguments = parser.parse_args(given)
    measured = uvloop.run(costs(arguments.samples))
    conditions = (
        f"{machine()}; uvloop, one process; {arguments.samples} samples of some milliseconds each, in turn with "
        "a loop that does the same without the operation."
    )
    section = f"{conditions}\n\n{table(measured)}"
    print(section)
    if not arguments.dry:
        write_section(Path("docs/performance.md"), section, name="micro")
    return 1 if any(cost.holds is False for cost in measured) else 0


if __name__ == "__main__":
    sys.exit(main())
