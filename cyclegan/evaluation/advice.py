"""May I use this run, for which stars and labels, and for what not: the answer that an evaluation's numbers give.

The rules are those of docs/report.md. Numbers are as an evaluation's scores.json holds them.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from cyclegan.linear.maps import LINEAR
from emulator.labels import UNITS

YES, CARE, NO = "yes", "with care", "no"
LITTLE, MUCH = 0.15, 0.5  # of the gap that shifting the mean leaves
TELLS_PLAINLY = 0.7  # a classifier's AUC: translated and observed spectra differ plainly
SPOILT = 1.5  # times what a cycle is off without noise: something is hidden in what noise covers
KNOWS_LESS = 0.05  # of a correlation
SMALL, LARGE = 0.25, 0.5  # of the stars' own spread
FEW = 5  # stars of a bin, which say nothing
SEEN = 0.1  # of the floor: what is off by less is not worth a warning
NOISE = 1.0  # squared, in its own units: the floor of comparisons with observed spectra where the truth is not known


class Advice(NamedTuple):
    """The answer (yes, with care, no) and why; all others are sentences, and the names of labels by how they fare.

    labels: `kept` are those that a translation carries over, `rough` those that it blurs, `lost` those of which it
    knows less than theory did.
    """

    answer: str
    why: list[str]
    stars: list[str]
    labels: dict[str, list[str]]
    limits: list[str]


def advise(numbers: Mapping[str, Any]) -> Advice:
    """The advice that the numbers of an evaluation give."""
    judged = [*_judge_translations(numbers), *_judge_hiding(numbers)]
    if not numbers["finished"]:
        judged.append((CARE, "The run is not finished."))
    labels = _sorted_labels(numbers["physics"]["labels"])
    answers = {answer for answer, _ in judged}
    answer = next(answer for answer in (NO, CARE, YES) if answer in answers)
    return Advice(answer, [why for _, why in judged], list(_stars(numbers)), labels, list(_limits(numbers, labels)))


def _judge_translations(numbers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """An answer and its reason for each way of translating."""
    if not numbers["matched"]:
        auc = numbers["separation"]["translated"]["auc"]
        told = f"A classifier tells translated from observed sets with an AUC of {auc:.2f} (0.5: it cannot)."
        answer = NO if auc > TELLS_PLAINLY else CARE
        yield answer, f"No star is known in both domains, to check translations on. {told}"
        return
    scores, controls = numbers["scores"], numbers["controls"]
    for way, words in (("synth_obs", "synthetic to observed"), ("obs_synth", "observed to synthetic")):
        score, shift = scores[f"x_{way}"], controls[f"shift_{way}"]
        floor = controls.get(f"floor_{way}", NOISE if way == "synth_obs" else 0.0)
        left = max(0.0, (score - floor) / (shift - floor)) if shift > floor else 1.0
        answer = YES if left <= LITTLE else CARE if left <= MUCH else NO
        linear = min(controls.get(f"{name}_{way}", float("inf")) for name in LINEAR)
        beside = "; a linear map does as well" if linear <= score else ""
        yield answer, f"From {words}, {100 * left:.0f} % is left of what shifting the mean leaves{beside}."


def _judge_hiding(numbers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    cycle = numbers["physics"]["cycle_under_noise"]
    clean, noisy = cycle["0"], cycle["0.1"]
    if clean and noisy and noisy > SPOILT * clean:
        yield (
            NO,
            f"Noise that no telescope sees makes a cycle {noisy / clean:.1f} times worse: something is hidden.",
        )


def _stars(numbers: Mapping[str, Any]) -> Iterator[str]:
    """For which stars, by the labels that they were scored by; none where these are not known."""
    for label, bins in numbers["bins"].items():
        edges = list(pairwise(bins["edges"]))
        filled = [edge for edge, stars in zip(edges, bins["stars"], strict=True) if stars >= FEW]
        if filled:
            yield f"{label} {_span(filled[0][0], filled[-1][1], label)}"


def _limits(numbers: Mapping[str, Any], labels: Mapping[str, list[str]]) -> Iterator[str]:
    """What the run is not for."""
    for label, bins in numbers["bins"].items():
        if "translated" not in bins:
            continue
        floors = bins.get("noiseless truth", [NOISE] * len(bins["stars"]))
        rows = zip(pairwise(bins["edges"]), bins["stars"], bins["translated"], bins["mean shift"], floors, strict=True)
        for edge, stars, score, shift, floor in rows:
            if stars >= FEW and score - floor > max(MUCH * (shift - floor), SEEN * floor):
                yield f"Stars of {label} {_span(*edge, label)}: hardly better than a shift of the mean."
    if labels["lost"]:
        yield f"Measuring {', '.join(labels['lost'])} on translated spectra: theory itself knows more of them."
    if offset := numbers["offset"]:
        told = ", ".join(f"{name} {value:.2g} {UNITS.get(name, 'dex')}" for name, value in offset.items())
        yield f"Labels better than what all stars may be off by alike (1 sigma): {told}."
    yield "Stars unlike those of the training: transfer writes each star's distance from them, above 1 for such ones."
    if not numbers["matched"]:
        yield "Claims on single stars: only whole sets were compared."


def _sorted_labels(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"kept": [], "rough": [], "lost": []}
    for row in rows:
        known, theory = row["fidelity"], row["theory"]
        bias, scatter = (abs(row[name] or 0.0) / (row["spread"] or 1.0) for name in ("bias", "scatter"))
        if (known is not None and theory is not None and known < theory - KNOWS_LESS) or scatter > 1 or bias > LARGE:
            found["lost"].append(row["label"])
        else:
            found["kept" if bias <= SMALL and scatter <= LARGE else "rough"].append(row["label"])
    return found


def _span(low: float, high: float, label: str) -> str:
    return f"{low:.4g} to {high:.4g} {UNITS.get(label, '')}".rstrip().replace("-", "−")
