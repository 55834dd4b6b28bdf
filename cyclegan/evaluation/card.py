"""The card of a run that is handed on: what it translates, of which stars, how well, and where it came from.

Its head is what the Hugging Face hub reads of a model (https://huggingface.co/docs/hub/model-cards#model-card-metadata).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cyclegan.domains.fingerprint import Fingerprint
from cyclegan.domains.schema import EffectsConfig, ObsConfig, SynthConfig
from cyclegan.evaluation.advice import advise
from cyclegan.evaluation.words import ANSWERS, KINDS
from cyclegan.linear.maps import LINEAR
from cyclegan.trained.model import TrainedModel
from emulator.commands.errors import InputError
from emulator.commands.results import printable
from emulator.commands.schema import TARGET
from emulator.labels import UNITS

LIBRARY = "cyclegan-stellar-spectra"
TAGS = ("astronomy", "spectroscopy", "stellar-spectra", "domain-adaptation", "cycle-gan", "safetensors")
DRAWN, DRAWN_SEED = 2000, 0  # stars of a population, to say what it is
MIDDLE = (0.05, 0.95)  # of their labels
# What a score is compared with: columns of the table, and how the names of scores begin.
COLUMNS = {
    "no translation": "gap",
    **{words: name for name, words in LINEAR.items()},
    "**translated**": "x",
    "noiseless truth": "floor",
}
DIRECTIONS = {"synthetic to observed": "synth_obs", "observed to synthetic": "obs_synth"}
LATENTS = {
    "z_synth": "synthetic, after translation",
    "z_obs": "observed, after translation",
    "z_split": "split, after translation",
    "z_shared": "of the same star in both sets",
}
NOT_ASKED = "Not measured: `python -m cyclegan.evaluate checkpoint=RUN` does that, before a run is shared."
CITATIONS = (
    "the program: cyclegan-stellar-spectra, version {version}",
    "the method: O'Briain et al. 2021, ApJ 906, 130, https://doi.org/10.3847/1538-4357/abca96",
    "the emulator: Ting et al. 2019, ApJ 879, 69, https://doi.org/10.3847/1538-4357/ab2331",
)


class Told(NamedTuple):
    """What a card says that the model does not hold.

    scores: of the run's scores.json, None where there is none; evaluated: the numbers of `evaluate`, None where nobody
    asked it; versions: of what shared it; licence: of the weights, an identifier of the hub, None: not stated;
    citation: of the training's data; programs: files of exported maps.
    """

    scores: Mapping[str, Any] | None
    evaluated: Mapping[str, Any] | None
    versions: Mapping[str, str]
    licence: str | None
    citation: str | None
    programs: Sequence[str]


def card(model: TrainedModel, told: Told) -> str:
    """The card as Markdown, under a head in YAML."""
    parts = (
        _head(told.licence),
        _what(model),
        _advice(told.evaluated),
        _use(model),
        _labels(model),
        _scores(told.scores),
        _limits(told.evaluated),
        _origin(model, told),
        _rights(told),
        _files(told.programs),
    )
    return "\n".join(line for part in parts for line in (*part, ""))


def _head(licence: str | None) -> list[str]:
    tags = [f"- {tag}" for tag in TAGS]
    return ["---", f"license: {licence or 'unknown'}", f"library_name: {LIBRARY}", "tags:", *tags, "---"]


def _what(model: TrainedModel) -> list[str]:
    wavelength, domains = model.wavelength.cpu(), model.record.domains
    members = len(model.translator.each())
    kind = "a translator" if members == 1 else f"an ensemble of {members} translators, with an error for every pixel,"
    return [
        f"# {_text(model.record.config.get('name', 'A run'))}",
        "",
        f"This is {kind} between synthetic and observed spectra of stars.",
        "",
        f"- **Synthetic:** {_source(domains.synth, model, 'synth')}.",
        f"- **Observed:** {_source(domains.obs, model, 'obs')}.",
        f"- **Wavelengths:** {len(wavelength)} pixels, {wavelength[0]:.2f} to {wavelength[-1]:.2f} Å in vacuum, in the"
        " star's rest frame. `model.wavelength` has them.",
        "- **Flux:** normalised to a continuum of 1, by the same continuum as the spectra of the training.",
        f"- **Pixels** with an error above {model.worst_error:g} are masked.",
    ]


def _source(side: SynthConfig | ObsConfig, model: TrainedModel, name: str) -> str:
    if side.path is not None:
        return f"spectra of the file `{_code(side.path)}`"
    hidden = model.hidden.get(name)
    share = 0.0 if hidden is None else hidden.float().mean().item()
    lacking = f", with lines deleted in {share:.0%} of its pixels" if share else ""
    return f"made from labels by an emulator{lacking}{_effects(side.effects)}"


def _effects(effects: EffectsConfig) -> str:
    values = {name: value for name, value in vars(effects).items() if value is not None}
    if effects.sky is None and effects.tellurics is None:
        del values["observer_velocity"]  # which moves their lines alone
    told = ", ".join(f"{_text(name)} {_text(value)}" for name, value in values.items())
    return f"; effects of a telescope: {told}" if told else ""


def _advice(evaluated: Mapping[str, Any] | None) -> list[str]:
    lines = ["## May I use it?", ""]
    if evaluated is None:
        return [*lines, NOT_ASKED]
    advice = advise(evaluated)
    parts = {
        "Why": advice.why,
        "For stars of": advice.stars,
        **{f"Labels. {KINDS[kind].rstrip(':')}": names for kind, names in advice.labels.items()},
        "Not for": advice.limits,
    }
    told = [
        f"- **{title}:** {_text(' '.join(part) if title in ('Why', 'Not for') else ', '.join(part))}"
        for title, part in parts.items()
        if part
    ]
    return [*lines, f"**{ANSWERS[advice.answer]}**", "", *told]


def _use(model: TrainedModel) -> list[str]:
    labels = ["made = model.from_labels(labels)  # observed spectra; labels: values by name"]
    return [
        "## Use",
        "",
        "```python",
        "import cyclegan",
        "",
        'model = cyclegan.load("FOLDER")  # this one',
        "observed = model.synth_to_obs(flux)  # (stars, pixels)",
        "synthetic = model.obs_to_synth(flux, error, mask)",
        *(labels if model.label_names else []),
        "```",
        "",
        "A folder whose files are not what they were is refused. `load` runs nothing that is in it.",
    ]


def _labels(model: TrainedModel) -> list[str]:
    lines = ["## Labels and training stars", "", f"Trained on {_population(model)}.", ""]
    if not model.label_names:
        return [*lines, "No emulator of the synthetic spectra is known, so labels make no spectra here."]
    forward = model.forward_model
    emulator = forward.emulator
    try:
        stars = forward.population.sample(emulator, DRAWN, torch.Generator().manual_seed(DRAWN_SEED)).double()
        middle = stars.quantile(torch.tensor(MIDDLE).double(), dim=0).T.tolist()
        lines += [f"The last column is of {MIDDLE[0]:.0%} to {MIDDLE[1]:.0%} of {DRAWN} stars drawn from them.", ""]
    except InputError:  # populations that need a file which is not here
        middle = [(float("nan"), float("nan"))] * len(model.label_names)
    ranges = zip(model.label_names, emulator.label_low.tolist(), emulator.label_high.tolist(), middle, strict=True)
    rows = [
        [f"`{_code(name)}`", UNITS.get(name, ""), f"{low:.6g} to {high:.6g}", f"{least:.4g} to {most:.4g}"]
        for name, low, high, (least, most) in ranges
    ]
    return [*lines, *_table(["label", "unit", "the emulator takes", "training stars"], rows)]


def _population(model: TrainedModel) -> str:
    domains = model.record.domains
    if domains.synth.path is not None:
        return f"the stars of `{_code(domains.synth.path)}`"
    table = model.record.population
    if table is not None:
        return f"stars like the {len(table['labels'])} of a table of labels, which is in this folder"
    settings = {name: value for name, value in domains.population.items() if name != TARGET and value is not None}
    kind = str(domains.population.get(TARGET, "")).rpartition(".")[2]
    given = "".join(f", {_text(name)} {_text(value)}" for name, value in settings.items())
    return f"stars of the population {_text(kind)}{given} (docs/populations.md of the program)"


def _scores(scores: Mapping[str, Any] | None) -> list[str]:
    lines = ["## How good it is", ""]
    if scores is None:
        return [*lines, "No scores of this checkpoint were in the run's folder: `scores.json` is of its last one."]
    if not isinstance(scores.get("x_synth_obs"), float):
        lines += ["No star is known in both sets, so no score says how good translations are.", ""]
    else:
        lines += ["Mean squared deviation of stars kept out of training, in units of the noise squared:", ""]
        known = {title: start for title, start in COLUMNS.items() if f"{start}_synth_obs" in scores}
        rows = [
            [direction, *(_number(scores.get(f"{start}_{end}")) for start in known.values())]
            for direction, end in DIRECTIONS.items()
        ]
        lines += [*_table(["", *known], rows), ""]
    latents = [f"{what} {_number(scores[name])}" for name, what in LATENTS.items() if scores.get(name) is not None]
    faults = scores.get("faults")
    named = ", ".join(map(_text, faults)) if isinstance(faults, dict | list) else ""
    return [
        *lines,
        f"Latents differ, in units of their range: {'; '.join(latents)}.",
        "",
        f"Faults that the training saw: {named or 'none'}.",
    ]


def _limits(evaluated: Mapping[str, Any] | None) -> list[str]:
    lines = ["## Limits by label", ""]
    if evaluated is None:
        return [*lines, NOT_ASKED]
    physics = evaluated["physics"]
    if rows := physics["labels"]:
        names = ("bias", "scatter", "spread", "fidelity", "theory")
        cells = [[f"`{_code(row['label'])}`", *(_number(row[name]) for name in names)] for row in rows]
        lines += [
            "Labels fitted to translated spectra minus those fitted to the synthetic ones, without noise; the spread of"
            " the stars; and how like the truth the effect of a label on the flux is (correlation), after translation"
            " and in theory.",
            "",
            *_table(["label", "bias", "scatter", "stars' spread", "effect translated", "effect in theory"], cells),
            "",
        ]
    else:
        lines += ["Labels make no spectra here, so none were fitted.", ""]
    noise = "; ".join(f"{_number(value)} at {_text(at)}" for at, value in physics["cycle_under_noise"].items())
    return [*lines, f"Mean squared error of a cycle with noise on the way, in units of the error floor: {noise}."]


def _origin(model: TrainedModel, told: Told) -> list[str]:
    scores, record = told.scores or {}, model.record
    seed = record.config.get("seed")
    lines = [
        "## Where it came from",
        "",
        f"- Trained for {model.step} steps" + ("" if seed is None else f" with seed {_text(seed)}") + ".",
        f"- Shared with {_versions(told.versions)}.",
    ]
    trained = scores.get("versions")
    if isinstance(trained, dict):
        lines += [f"- Trained with {_versions(trained)}, on {_text(scores.get('device', 'an unknown device'))}."]
    lines += [f"- {_data(name, found)}" for name, found in record.spectra.items()]
    if not record.spectra:
        lines += ["- No file of spectra is known of the training."]
    return lines


def _data(name: str, found: Fingerprint) -> str:
    side = {"synth": "synthetic", "obs": "observed"}.get(name, _text(name))
    return f"Data, {side}: {found['size']} bytes; SHA-256 of the spectra read: `{_code(found['sha256'])}`."


def _versions(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{_text(name)} {_text(version)}" for name, version in versions.items())


def _rights(told: Told) -> list[str]:
    weights = f"`{told.licence}`" if told.licence else "not stated: ask whoever shared this"
    cited = [line.format(version=told.versions.get("cyclegan", "?")) for line in CITATIONS]
    cited += [f"the data: {_text(told.citation)}"] if told.citation else []
    return [
        "## Licence",
        "",
        f"Of the weights: {weights}. Of the program: BSD-3-Clause. Of the data that it was trained on: theirs.",
        "",
        "## Citation",
        "",
        *(f"- {line}" for line in cited),
    ]


def _files(programs: Sequence[str]) -> list[str]:
    rows = [
        ["`model.safetensors`", "all tensors"],
        ["`config.json`", "everything else that the run stands on"],
        ["`SHA256SUMS`", "sums of all files: `sha256sum --check SHA256SUMS`"],
        *([f"`{name}`", "a map as a program for `torch.export.load`, which trusts what it reads"] for name in programs),
    ]
    return ["## Files", "", *_table(["file", "what it holds"], rows)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) and not isinstance(value, bool) else "–"


def _text(value: object) -> str:
    """A stranger's text in one line, in which Markdown and HTML mean nothing."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#&" else c for c in printable(" ".join(str(value).split())))


def _code(value: object) -> str:
    """The same between backticks."""
    text = printable(" ".join(Path(str(value)).name.split()))
    return text.replace("`", "'").replace("|", "/")
