"""What a conversion read, masked, refused and passed over."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from tqdm import tqdm

from cyclegan.instruments.cross_correlation import Velocity
from cyclegan.spectra.files import SUBSETS
from cyclegan.spectra.resampling import Resampler
from emulator.commands.errors import InputError
from emulator.commands.results import printable

NAMED = 3  # of what is passed over


@dataclass
class Report:
    """What was read, masked, refused and passed over, by why; strict: the first refusal ends it all."""

    strict: bool
    passed_over: Mapping[str, Sequence[str]]
    spectra: Counter[str] = field(default_factory=Counter)  # written, by subset
    stars: dict[str, set[str]] = field(default_factory=lambda: {subset: set() for subset in SUBSETS})
    read: int = 0
    masked: dict[str, float] = field(default_factory=dict)  # summed shares of the spectra's pixels, by cause
    usable: float = 0.0
    refused: int = 0
    unlabelled: set[str] = field(default_factory=set)
    errors: bool = True  # whether the spectra have any
    measured: Sequence[Velocity] = ()  # as theory told them
    missing: Sequence[str] | None = None  # labels for which a table has no column; None where there is no table

    def refuse(self, problem: InputError | str) -> None:
        """Name a problem on stderr and count it; InputError where the first one ends it all."""
        if self.strict:
            raise InputError(str(problem))
        self.refused += 1
        tqdm.write(printable(f"refused: {problem}"), file=sys.stderr)

    def mask(self, cause: str, pixels: torch.Tensor) -> None:
        """Count what a cause masks: pixels (B, P) bool. A pixel may have several causes."""
        self.masked[cause] = self.masked.get(cause, 0.0) + float(pixels.double().mean(dim=1).sum())

    def mask_uncovered(self, resampler: Resampler, count: int) -> None:
        """Count the new pixels of `count` spectra that no pixels of theirs cover wholly."""
        if not resampler.whole.all():
            self.mask("not covered", ~resampler.whole.expand(count, -1))

    def to_plain(self) -> dict[str, Any]:
        """What it holds of the spectra, in plain types."""
        plain = {name: value for name, value in vars(self).items() if name not in ("strict", "passed_over")}
        stars = {subset: sorted(names) for subset, names in self.stars.items()}
        return plain | {"stars": stars, "unlabelled": sorted(self.unlabelled)}

    def add(self, plain: Mapping[str, Any]) -> None:
        """Count what another one holds, `to_plain`."""
        self.spectra.update(plain["spectra"])
        for subset, names in plain["stars"].items():
            self.stars[subset] |= set(names)
        self.read += plain["read"]
        for cause, share in plain["masked"].items():
            self.masked[cause] = self.masked.get(cause, 0.0) + share
        self.usable += plain["usable"]
        self.refused += plain["refused"]
        self.unlabelled |= set(plain["unlabelled"])
        self.errors = self.errors and plain["errors"]
        self.measured = [*self.measured, *(Velocity(*one) for one in plain["measured"])]
        self.missing = plain["missing"] if self.missing is None else self.missing

    @property
    def names(self) -> set[str]:
        """Of all stars that were written."""
        return set().union(*self.stars.values())

    def table(self) -> str:
        """All of it, as aligned lines."""
        lines = [f"{'':22}{'spectra':>10}{'stars':>10}"]
        lines += [
            f"{subset:22}{self.spectra[subset]:>10}{len(self.stars[subset]) or '-':>10}"
            for subset in SUBSETS
            if self.spectra[subset]
        ]
        lines.append(f"{'refused':22}{self.refused:>10}")
        for why, names in self.passed_over.items():
            told = [printable(name) for name in names[:NAMED]] + ["..."] * (len(names) > NAMED)
            lines.append(f"{why:22}{len(names):>10}  {', '.join(told)}")
        lines.append(f"{'masked pixels':22}{'share':>10}")
        shares = {**self.masked, "usable in the end": self.usable}
        lines += [f"  {cause:20}{share / self.read:>10.2%}" for cause, share in shares.items() if share]
        if not self.errors:
            lines.append("no errors ('spectra_err SUBSET') in the input: the output has none")
        if self.measured:
            errors = [velocity.error for velocity in self.measured]
            between = f"{min(errors):.2g} to {max(errors):.2g} km/s"
            lines.append(f"velocities measured: {len(errors)}, with errors of {between}")
        if self.missing is not None:
            named = self.names
            without = f", no column for {', '.join(self.missing)}" if self.missing else ""
            lines.append(f"labels for {len(named - self.unlabelled)} of {len(named)} stars{without}")
        return "\n".join(lines)
