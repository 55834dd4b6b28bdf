"""The report of an evaluation: one page of HTML that needs nothing but itself."""

from base64 import b64encode
from html import escape
from itertools import pairwise
from typing import Any

from cyclegan.evaluation.words import ALTERNATIVES, ANSWERS, CAPTIONS, KINDS, MEANINGS, SETS
from cyclegan.linear.maps import LINEAR
from emulator.labels import UNITS

STYLE = """
body { font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #1a1a1a; background: #fff;
       max-width: 1080px; margin: 2.5rem auto 4rem; padding: 0 1.25rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 3rem 0 .5rem; padding-top: .75rem; border-top: 1px solid #d0d0d0; }
p { max-width: 46rem; margin: .5rem 0; }
.meta, figcaption, .note { color: #555; font-size: .875rem; }
.numbers { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.5rem 0; padding: 0; list-style: none; }
.numbers li { flex: 1 1 11rem; border: 1px solid #d0d0d0; border-radius: 6px; padding: .75rem 1rem; }
.numbers b { display: block; font-size: 1.6rem; line-height: 1.3; font-weight: 600; }
.numbers span { color: #555; font-size: .8125rem; line-height: 1.35; display: block; }
.wrong { color: #b00020; font-weight: 600; }
.answer { border: 1px solid #d0d0d0; border-radius: 6px; padding: .25rem 1.25rem 1rem; margin: 1.5rem 0; }
.answer h2 { border: 0; margin: .75rem 0 .25rem; padding: 0; }
.answer p { font-size: 1.25rem; font-weight: 600; }
.answer .yes { color: #00600f; }
.answer .with-care { color: #7a4b00; }
.answer .no { color: #b00020; }
.answer dt { font-weight: 600; margin-top: .75rem; }
.answer dd { margin: .1rem 0 0; }
.wide { overflow-x: auto; }
figure { margin: 1rem 0 2rem; }
figure img { width: 100%; height: auto; display: block; }
figcaption { max-width: 46rem; margin-top: .25rem; }
table { border-collapse: collapse; font-size: .875rem; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem .3rem 0; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }
th.text, td.text { min-width: 7rem; }
th:first-child, td:first-child, td.text, th.text { text-align: left; white-space: normal; }
thead th { border-bottom: 1px solid #888; font-weight: 600; }
code { font-size: .875em; }
@media (max-width: 640px) { figure img { width: 720px; max-width: none; } }
@media print {
  body { font-size: 11pt; margin: 0; max-width: none; }
  h2 { break-after: avoid; }
  figure, table, .answer { break-inside: avoid; }
  .wide { overflow: visible; }
  table { font-size: 8pt; }
  th, td { padding-right: .35rem; white-space: normal; }
  figure img { width: 100%; }
}
"""


def page(numbers: dict[str, Any], stars: list[dict[str, Any]], pictures: dict[str, bytes]) -> str:
    """The report as HTML: numbers as an evaluation's scores.json holds them; stars: the rows of stars.csv; pictures:
    PNG by name, those of single stars named star_best and so on.
    """
    n, subset = numbers["stars"], numbers["subset"]
    title = f"{numbers['name']}: synthetic and observed spectra"
    low, high = numbers["wavelength"]
    content = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="meta">{escape(numbers["run"])}, {escape(numbers["checkpoint"])}, step {numbers["step"]};'
        f" {n} stars of {subset}; {numbers['pixels']} pixels from {low:.0f} to {high:.0f} Å (vacuum);"
        f" {escape(', '.join(f'{name} {version}' for name, version in numbers['versions'].items()))}.</p>",
    ]
    if not numbers["matched"]:
        content.append(
            "<p><strong>The two domains have no star in common.</strong> What compares a star with itself in the other"
            " domain is left out: <code>x_synth_obs</code>, <code>x_obs_synth</code>, <code>z_shared</code>, their"
            " controls, and the pictures before and after. Stars and residuals below show reconstructions instead, and"
            " the classifier says how alike the domains are as sets.</p>"
        )
    if not numbers["finished"]:
        content.append("<p><strong>The run is not finished</strong>: it has no scores.json yet.</p>")
    content += [
        _advice(numbers["advice"]),
        _summary(numbers),
        "<h2>Scores beside their controls</h2>",
        *_scores(numbers),
    ]
    content += ["<h2>Signals that need no matched stars</h2>", _signals(numbers)]
    content += ["<h2>Physics or paint?</h2>", *_physics(numbers["physics"], pictures)]
    if numbers["latents"]:
        content += ["<h2>What the shared latents are</h2>", *_latents(numbers["latents"], pictures)]
    content += ["<h2>Can a classifier tell them apart?</h2>", *_separation(numbers), _figure("embedding", pictures)]
    content += ["<h2>Single stars</h2>", *_stars(numbers, stars, pictures)]
    content += ["<h2>Residuals of all stars</h2>", _figure("residuals", pictures)]
    if "bins" in pictures:
        content += ["<h2>By label</h2>", _figure("bins", pictures), *_bins(numbers["bins"])]
    if "history" in pictures:
        content += ["<h2>Training</h2>", _figure("history", pictures)]
    content += ["<h2>Scored again</h2>", *_rescored(numbers)]
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n'
        + "\n".join(content)
        + "\n</main>\n</body>\n</html>\n"
    )


def _advice(advice: dict[str, Any]) -> str:
    """May I use this, for which stars and labels, and what not."""
    labels = advice["labels"]
    told = [f"{words} {', '.join(labels[kind])}" for kind, words in KINDS.items() if labels[kind]]
    parts = {
        "Why": advice["why"],
        "For which stars": advice["stars"] or ["Like those it was trained on; their labels are not known."],
        "For which labels": told or ["Not known: without an emulator of theory, no label can be followed."],
        "What it is not for": advice["limits"],
    }
    rows = (f"<dt>{name}</dt>" + "".join(f"<dd>{escape(line)}</dd>" for line in lines) for name, lines in parts.items())
    return (
        f'<section class="answer"><h2>May I use it?</h2><p class="{advice["answer"].replace(" ", "-")}">'
        f"{ANSWERS[advice['answer']]}</p><dl>{''.join(rows)}</dl></section>"
    )


def _summary(numbers: dict[str, Any]) -> str:
    scores, controls, auc = numbers["scores"], numbers["controls"], numbers["separation"]
    facts = []
    if numbers["matched"]:
        beside = f"σ² off the same stars observed; {controls['shift_synth_obs']:.3g} by shifting the mean"
        if "floor_synth_obs" in controls:
            beside += f", {controls['floor_synth_obs']:.3g} by the truth"
        facts.append((f"{scores['x_synth_obs']:.3g}", beside))
        if numbers["gap_left"] is not None:
            facts.append((f"{100 * numbers['gap_left']:.1f} %", "of the gap is left, of what shifting the mean leaves"))
    else:
        facts.append((f"{numbers['signals']['cycle_obs']:.3g}", "σ² after a cycle of observed spectra"))
    before, after = auc["synthetic"], auc["translated"]
    facts.append(
        (f"{before['auc']:.2f} → {after['auc']:.2f}", "AUC of a classifier, before → after; 0.5: it cannot tell")
    )
    rows = numbers["rescored"]
    same = sum(row["identical"] for row in rows)
    facts.append(
        (f"{same} of {len(rows)}", "logged numbers found again, to the last digit")
        if rows
        else ("–", "nothing logged to compare with")
    )
    items = (f"<li><b>{escape(value)}</b><span>{escape(meaning)}</span></li>" for value, meaning in facts)
    return f'<ul class="numbers">{"".join(items)}</ul>'


def _scores(numbers: dict[str, Any]) -> list[str]:
    scores, controls = numbers["scores"], numbers["controls"]
    content = []
    if numbers["matched"]:
        rows = []
        for way in ("synth_obs", "obs_synth"):
            without = [controls.get(f"{control}_{way}") for control in ("gap", *LINEAR)]
            floor, name = controls.get(f"floor_{way}"), f"x_{way}"
            left = None if floor is None else (scores[name] - floor) / (controls[f"shift_{way}"] - floor)
            row = map(_number, (*without, scores[name], floor, left))
            rows.append([f"<code>{name}</code>", MEANINGS[name], *row])
        head = ["score", "what is compared", "no translation", *LINEAR.values(), "translated", "truth", "gap left"]
        content.append(_table(head, rows, text=2))
        content.append(
            '<p class="note">Gaussian transport, assignment and ridge on pairs: linear translations, which say what the'
            " networks add. Truth: the noiseless spectra, where they are known. Gap left: (translated − truth) /"
            " (mean shift − truth), 0 for a perfect translation, 1 for one no better than a shift of the mean.</p>"
        )
    rows = [
        [f"<code>{name}</code>", MEANINGS[name], _number(scores[name])]
        for name in ("z_shared", "z_synth", "z_obs", "z_split")
        if name in scores
    ]
    content.append(_table(["score", "normalised mean absolute difference of", "value"], rows, text=2))
    if scores["dead_latents"]:
        content.append(f"<p>{scores['dead_latents']:.0f} latent variables never vary: they carry nothing.</p>")
    return content


def _signals(numbers: dict[str, Any]) -> str:
    rows = [[f"<code>{name}</code>", MEANINGS[name], _number(value)] for name, value in numbers["signals"].items()]
    return _table(["signal", "what it is", "value"], rows, text=2)


def _physics(physics: dict[str, Any], pictures: dict[str, bytes]) -> list[str]:
    cycle, labels = physics["cycle_under_noise"], physics["labels"]
    rows = [[f"{amplitude} of the error floor", _number(value)] for amplitude, value in cycle.items()]
    content = [
        "<p>A translator may hide what it needs for the way back in amplitudes that no telescope sees. Noise far below"
        " the error floor, added on the way, would then spoil the cycle: the first two rows should agree.</p>",
        _table(["noise added to translations", "synthetic spectra after a cycle, off by [floor²]"], rows),
    ]
    if not labels:
        return [*content, "<p>Without an emulator of the synthetic domain, labels cannot be followed through it.</p>"]
    rows = [
        [escape(row["label"]), *(_number(row[name]) for name in ("theory", "fidelity", "bias", "scatter", "spread"))]
        for row in labels
    ]
    head = ["label", "theory's correlation", "translation's", "bias", "scatter", "spread of stars"]
    return [*content, _figure("physics", pictures), _table(head, rows)]


def _latents(latents: list[dict[str, Any]], pictures: dict[str, bytes]) -> list[str]:
    domains = [name for name in ("synthetic", "observed") if name in latents[0]]
    names = ["latent", "effect", "difference", *(key for name in domains for key in (name, f"{name}_correlation"))]
    rows = [[_number(row[name]) for name in names] for row in latents]
    head = ["latent", "effect [σ]", "difference / range"]
    head += [text for name in domains for text in (f"{name}: follows most", "partial correlation")]
    return [
        "<p>The variables are uncorrelated, and in order of what one standard deviation of each does to a spectrum, all"
        " pixels taken together. An effect that is small is hard to see in a noisy spectrum.</p>",
        _figure("latents", pictures),
        "<details><summary>The same in numbers</summary>",
        _table(head, rows),
        "</details>",
    ]


def _separation(numbers: dict[str, Any]) -> list[str]:
    rows = [
        [SETS[name], f"{found['auc']:.3f}", f"{found['spread']:.3f}"] for name, found in numbers["separation"].items()
    ]
    return [
        "<p>Logistic regression on the first ten principal components, five-fold cross-validated, the components found"
        " anew within each fold. Spectra are weighted by their typical error. Synthetic and translated ones get the"
        " noise that the errors of observed stars state, and their masks, or the noise would give them away.</p>"
        "<p>One random half of the stars is shown observed, the other half translated, so that no star meets its own"
        " twin; four such draws. Translations take the split latent of another star. Latents of observed spectra carry"
        " those spectra's noise, the others none.</p>",
        _table(["the classifier tells", "AUC", "scatter of a fold"], rows),
    ]


def _stars(numbers: dict[str, Any], stars: list[dict[str, Any]], pictures: dict[str, bytes]) -> list[str]:
    names = list(numbers["examples"])
    other = set(numbers["labels"]) - set(numbers["bins"])
    rows = [
        {key: value for key, value in stars[star].items() if key not in other} for star in numbers["examples"].values()
    ]
    head = ["example", *(f"{key} [{UNITS[key]}]" if key in UNITS else key.replace("_", " ") for key in rows[0])]
    table = _table(head, [[name, *map(_number, row.values())] for name, row in zip(names, rows, strict=True)])
    what = "translation" if numbers["matched"] else "reconstruction"
    return [
        f"<p>The stars whose {what} is best, median and worst; <code>stars.csv</code> holds a row for every star.</p>",
        table,
        *(_figure(f"star_{name}", pictures) for name in names),
    ]


def _bins(bins: dict[str, Any]) -> list[str]:
    tables = []
    for label, columns in bins.items():
        edges = columns["edges"]
        names = [name for name in columns if name != "edges"]
        rows = [
            [f"{low:g} to {high:g}".replace("-", "−"), *(_number(columns[name][i]) for name in names)]
            for i, (low, high) in enumerate(pairwise(edges))
        ]
        tables.append(_table([f"{label} [{UNITS[label]}]" if label in UNITS else label, *names], rows))
    return ["<details><summary>The same in numbers</summary>", *tables, "</details>"]


def _rescored(numbers: dict[str, Any]) -> list[str]:
    rows = numbers["rescored"]
    if not rows:
        return ["<p>Training logged no scores at this step: there is nothing to compare with.</p>"]
    table = _table(
        ["score", "logged in", "logged", "scored again", "identical"],
        [
            [
                f"<code>{row['score']}</code>",
                row["logged_in"],
                repr(row["logged"]),
                repr(row["rescored"]),
                "yes" if row["identical"] else '<span class="wrong">no</span>',
            ]
            for row in rows
        ],
        text=2,
    )
    return [
        "<p>What training logged of the val stars at this step, and what the checkpoint scores now on the same stars."
        " <code>metrics.csv</code> holds single precision.</p>",
        table,
    ]


def _figure(name: str, pictures: dict[str, bytes]) -> str:
    if name not in pictures:
        return f'<p class="note">The picture {name} could not be drawn.</p>'
    source = f"data:image/png;base64,{b64encode(pictures[name]).decode()}"
    caption = f"<figcaption>{escape(CAPTIONS[name])}</figcaption>"
    picture = f'<img alt="{escape(ALTERNATIVES[name])}" src="{source}">'
    return f'<figure id="{name}"><div class="wide" tabindex="0">{picture}</div>{caption}</figure>'


def _table(head: list[str], rows: list[list[str]], text: int = 1) -> str:
    """A table of cells that are HTML already; the first `text` columns are words, the others numbers."""
    kinds = ['class="text"' if i < text else "" for i in range(len(head))]
    header = "".join(f'<th scope="col" {kind}>{cell}</th>' for kind, cell in zip(kinds, head, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td {kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    table = f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide" tabindex="0">{table}</div>'


def _number(value: float | int | str | None) -> str:
    if value is None or value != value:  # NaN
        return "–"
    text = f"{value:#.4g}".rstrip(".") if isinstance(value, float) else str(value)
    return escape(text.replace("-", "−"))
