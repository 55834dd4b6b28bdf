"""Translating more spectra than fit into memory: read, translated and written at the same time."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import zip_longest
from typing import NamedTuple

from torch import Tensor

from cyclegan.spectra.spectra import Spectra
from cyclegan.spectra.writer import SpectraWriter
from cyclegan.trained.familiarity import Familiarity, features, has_counterpart
from cyclegan.trained.model import TrainedModel
from cyclegan.trained.sources import Source
from cyclegan.trained.translated import SYNTH_TO_OBS, Translated
from emulator.commands.progress import progress


class Outcome(NamedTuple):
    """How many spectra had no usable pixel, and how many have no counterpart among the training stars.

    alone: None of a run that keeps no training stars.
    """

    lost: int
    alone: int | None


def _pieces(rows_of: Mapping[str, slice], batch_size: int) -> list[tuple[str, slice]]:
    """Batches of rows of each subset."""
    return [
        (name, slice(first, min(first + batch_size, rows.stop)))
        for name, rows in rows_of.items()
        for first in range(rows.start, rows.stop, batch_size)
    ]


def translate_all(
    model: TrainedModel,
    direction: str,
    source: Source,
    rows_of: Mapping[str, slice],
    split: Mapping[str, Tensor],
    known_split: bool,
    batch_size: int,
    writer: SpectraWriter,
) -> Outcome:
    """Translate spectra of a source and write them with their latents and their distances from training stars.

    rows_of: which spectra of each subset; split (n, Zp): split latents of all n of each, none where they are not
    needed; known_split: whether they are known of each star. The errors written are those of the translation where the
    run is an ensemble, and those of the input otherwise. A thread reads the next batch and writes the last one while
    this one is translated.
    """
    domain = "synth" if direction == SYNTH_TO_OBS else "obs"
    familiar = Familiarity.from_record(model.record, domain, model.device)
    pieces = _pieces(rows_of, batch_size)
    blind, alone = [], []

    def write(name: str, spectra: Spectra, translated: Translated, distance: Tensor | None) -> None:
        flux, shared, own = (tensor.cpu() for tensor in translated[:3])
        if translated.error is not None:
            spectra = spectra._replace(error=translated.error.cpu())
        if (lost := flux[:, :1].isnan()).any():
            spectra = spectra._replace(mask=spectra.mask & ~lost)
            blind.append(int(lost.sum()))
        columns = {"latent_shared": shared, "latent_split": own}
        if distance is not None:
            distance = distance.cpu()
            counterpart = has_counterpart(distance)
            alone.append(int((~counterpart).sum()))
            columns |= {"distance": distance, "counterpart": counterpart}
        writer.append(name, spectra._replace(flux=flux), **columns)

    total = sum(rows.stop - rows.start for rows in rows_of.values())
    with ThreadPoolExecutor(1) as thread, progress(None, "translating", total=total, unit="star") as bar:
        reading, writing = thread.submit(source.read, *pieces[0]), Future[None]()
        writing.set_result(None)  # nothing is to be written yet
        for (name, rows), following in zip_longest(pieces, pieces[1:]):
            spectra = reading.result()
            if following is not None:
                reading = thread.submit(source.read, *following)
            # Only the noise of observed stars is asked for, by their distance and by errors.
            noisy = (familiar is not None or bool(model.errors)) and domain == "obs"
            error = spectra.error if noisy else spectra.error[:, :1]
            seen = model.seen(direction, spectra._replace(error=error).to(model.device))
            translated = model.translate_seen(direction, seen, split[name][rows] if split else None)
            distance = None if familiar is None else familiar.distance(features(model.translator, domain, seen))
            if model.errors:
                translated = translated._replace(error=model.error_of(direction, seen, translated, known_split))
            writing.result()
            writing = thread.submit(write, name, spectra, translated, distance)
            bar.update(rows.stop - rows.start)
        writing.result()
    return Outcome(sum(blind), None if familiar is None else sum(alone))
