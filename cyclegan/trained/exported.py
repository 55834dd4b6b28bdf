"""The four maps of a trained translator as programs of PyTorch's own, which run where this program is not.

Each is what `torch.export` (https://docs.pytorch.org/docs/stable/export.html) makes of it: a graph with its weights.
"""

import io
import zipfile
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export, save

from cyclegan.spectra.spaces import Components, Space, masked_pixels
from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.model import TrainedModel

MAPS = ("synth_to_obs", "obs_to_synth", "encode_synth", "encode_obs")
EXAMPLES = 2  # stars to trace with; any number will do afterwards
EXAMPLES_FOLDER = "/data/sample_inputs/"  # of a file of torch.export; an empty one counts as none


class _Encode(nn.Module):
    """Flux (B, P), of which the pixels count that are finite and in mask (B, P), to shared (B, Zs) and split latents
    (B, Zp); NaN for a star of which none counts.
    """

    def __init__(self, space: Space, encoder: nn.Module) -> None:
        super().__init__()
        self.space, self.encoder = space, encoder

    def forward(self, flux: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Both latents."""
        counts = mask & flux.isfinite()
        coordinates = self._coordinates(torch.where(counts, flux, 1.0), counts)
        return self.encoder(coordinates.masked_fill(~counts.any(dim=1, keepdim=True), torch.nan))

    def _coordinates(self, flux: Tensor, usable: Tensor) -> Tensor:
        if not isinstance(self.space, Components):
            return self.space.project(Spectra(flux, torch.ones_like(flux), usable)).flux
        # As `project` has it, but whatever the mask: a program has no branches.
        return self.space.filled(self.space.start(flux, usable), masked_pixels(usable))


class _EncodeSynth(_Encode):
    def forward(self, flux: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """Shared latents (B, Zs)."""
        return super().forward(flux, mask)[0]


class _SynthToObs(nn.Module):
    """Flux (B, P), mask (B, P) and split latents (B, Zp) to observed flux (B, P)."""

    def __init__(self, encode: _EncodeSynth, generator: nn.Module, space: Space) -> None:
        super().__init__()
        self.encode, self.generator, self.space = encode, generator, space

    def forward(self, flux: Tensor, mask: Tensor, split: Tensor) -> Tensor:
        """Observed flux."""
        return self.space.restore(self.generator(self.encode(flux, mask), split))


class _ObsToSynth(nn.Module):
    """Flux (B, P) and mask (B, P) to synthetic flux (B, P)."""

    def __init__(self, encode: _Encode, generator: nn.Module, space: Space) -> None:
        super().__init__()
        self.encode, self.generator, self.space = encode, generator, space

    def forward(self, flux: Tensor, mask: Tensor) -> Tensor:
        """Synthetic flux."""
        shared, _ = self.encode(flux, mask)
        return self.space.restore(self.generator(shared, shared[:, :0]))


def exported(model: TrainedModel) -> Iterator[tuple[str, bytes]]:
    """Each of MAPS by its name, as `torch.export.load` reads it."""
    t = model.translator
    encode_synth, encode_obs = _EncodeSynth(t.space_s, t.encoder_s), _Encode(t.space_o, t.encoder_o)
    modules = (
        _SynthToObs(encode_synth, t.generator_o, t.space_o),
        _ObsToSynth(encode_obs, t.generator_s, t.space_s),
        encode_synth,
        encode_obs,
    )
    flux = torch.ones(EXAMPLES, len(model.wavelength), device=model.device)
    split = torch.zeros(EXAMPLES, model.split_sample.shape[1], device=model.device)
    for name, module in zip(MAPS, modules, strict=True):
        inputs = (flux, flux > 0, split) if name == MAPS[0] else (flux, flux > 0)
        shapes = tuple({0: Dim("stars")} for _ in inputs)
        with torch.no_grad():
            yield name, _written(export(module.eval(), inputs, dynamic_shapes=shapes))


def _written(program: ExportedProgram) -> bytes:
    """A program as a file without pickles, which its examples of inputs are, and without paths of who made it."""
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    made, kept = io.BytesIO(), io.BytesIO()
    save(program, made)
    with zipfile.ZipFile(made) as whole, zipfile.ZipFile(kept, "w") as archive:
        for member in whole.infolist():
            archive.writestr(member, b"" if EXAMPLES_FOLDER in member.filename else whole.read(member))
    return kept.getvalue()
