"""What a long measurement found, part by part: kept as it goes, so that an end at any time loses one part at most."""

import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from emulator.commands.errors import first_line
from emulator.commands.results import write_json


class Report:
    """Figures by part, written to a file after each; what fails in one part costs no other.

    path: of the JSON file; seconds: how long all parts may take, beyond which none is begun.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.end = path, time.perf_counter() + seconds
        self.figures: dict[str, Mapping[str, object]] = {}

    @property
    def left(self) -> float:
        """Seconds until no other part may begin."""
        return self.end - time.perf_counter()

    def part(self, name: str, measure: Callable[[], Mapping[str, object]], needs: float = 0.0) -> None:
        """Measure one part, unless less than the seconds that it needs are left; tell its figures, and keep them."""
        if self.left < needs:
            found: Mapping[str, object] = {"not run": f"needs {needs:.0f} s, {self.left:.0f} s were left"}
        else:
            start = time.perf_counter()
            try:
                found = measure()
            except (Exception, SystemExit) as error:
                traceback.print_exc()
                found = {"FAILED": f"{type(error).__name__}: {first_line(error)}"}
            found = {**found, "seconds of this part": round(time.perf_counter() - start, 1)}
        self.figures[name] = found
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, self.figures)
        print(f"\n{name}\n{as_lines(found)}", flush=True)


def as_lines(figures: Mapping[str, object], indent: str = "  ") -> str:
    """Figures by name, one a line; those of a mapping under its name."""
    lines = []
    for name, value in figures.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}", as_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {f'{value:.4g}' if isinstance(value, float) else value}")
    return "\n".join(lines)
