"""Translating more spectra than fit into memory: read, translated and written at the same time."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import zip_longest

from torch import Tensor
from tqdm import tqdm

from cyclegan.spectra.spectra import Spectra
from cyclegan.spectra.writer import SpectraWriter
from cyclegan.trained.model import TrainedModel, Translated
from cyclegan.trained.sources import Source


def translate_all(
    model: TrainedModel,
    direction: str,
    source: Source,
    counts: Mapping[str, int],
    split: Mapping[str, Tensor],
    batch_size: int,
    writer: SpectraWriter,
) -> int:
    """Translate all spectra of a source and write them with their latents; how many of them had no usable pixel.

    counts: of each subset; split (n, Zp): split latents of each, none where they are not needed. A thread reads the
    next batch and writes the last one while this one is translated.
    """
    pieces = [
        (name, slice(first, min(first + batch_size, count)))
        for name, count in counts.items()
        for first in range(0, count, batch_size)
    ]
    blind = []

    def write(name: str, spectra: Spectra, translated: Translated) -> None:
        flux, shared, own = (tensor.cpu() for tensor in translated)
        if (lost := flux[:, :1].isnan()).any():
            spectra = spectra._replace(mask=spectra.mask & ~lost)
            blind.append(int(lost.sum()))
        writer.append(name, spectra._replace(flux=flux), latent_shared=shared, latent_split=own)

    with ThreadPoolExecutor(1) as thread, tqdm(total=sum(counts.values()), desc="translating", unit="spectrum") as bar:
        reading, writing = thread.submit(source.read, *pieces[0]), Future[None]()
        writing.set_result(None)  # nothing is to be written yet
        for (name, rows), following in zip_longest(pieces, pieces[1:]):
            spectra = reading.result()
            if following is not None:
                reading = thread.submit(source.read, *following)
            batch = spectra._replace(error=spectra.error[:, :1]).to(model.device)
            translated = model.translate(direction, batch, split[name][rows] if split else None)
            writing.result()
            writing = thread.submit(write, name, spectra, translated)
            bar.update(rows.stop - rows.start)
        writing.result()
    return sum(blind)
