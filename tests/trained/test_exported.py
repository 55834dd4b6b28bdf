"""cyclegan/trained/exported.py: what PyTorch runs without this program is what the program does."""

import io
import zipfile

import pytest
import torch
from handmade import make_checkpoint
from skies import toy_wavelength
from translators import make_translator, networks, stir

from cyclegan.spectra.spaces import Components
from cyclegan.trained.exported import MAPS, exported
from cyclegan.trained.model import TrainedModel
from cyclegan.translator.dense import Dense
from cyclegan.translator.translator import build_translator, ensemble_of


@pytest.fixture(scope="module", params=["dense", "conv", "ensemble"])
def model(request, sky):
    """A model of each kind of networks, with parameters that are far from their start."""
    kind = "conv" if request.param == "conv" else "dense"
    translator, x_s, x_o, _ = make_translator(sky, kind=kind, split=2)
    stir(translator)
    axes = {}
    if request.param == "ensemble":
        translator = ensemble_of([translator, make_translator(sky, split=2)[0]])
        axes = translator.find_axes(x_s, x_o)
    width = translator.encoder_o(x_o[:1])[1].shape[-1]
    checkpoint = make_checkpoint(translator, networks(kind, split=2), toy_wavelength(), torch.randn(9, width))
    checkpoint.record.axes = axes
    checkpoint.record.config["ensemble"] = 2 if axes else 1
    return TrainedModel(checkpoint, "a test")


@pytest.fixture(scope="module")
def programs(model):
    """What is written of it, by the name of the map."""
    return dict(exported(model))


def stars(sky, count):
    """Flux with gaps, a mask, and a star of which nothing counts."""
    flux, mask = sky.val_obs.flux[:count].clone(), torch.arange(sky.val_obs.flux.shape[1]) % 17 > 0
    flux[0, 3:9] = torch.nan
    mask = mask.expand_as(flux).clone()
    mask[1:2] = False
    return flux, mask


def test_programs_do_what_the_model_does(model, programs, sky):
    assert tuple(programs) == MAPS
    for name, content in programs.items():
        program = torch.export.load(io.BytesIO(content)).module()
        for count in (1, 2, 40):
            flux, mask = stars(sky, count)
            split = {"split": model.draw_split(count, 0)} if name == "synth_to_obs" else {}
            expected, found = getattr(model, name)(flux, mask=mask, **split), program(flux, mask, *split.values())
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True, msg=f"{name} {count}")


def test_latents_of_stars_that_lack_a_third_of_their_pixels_agree_to_1e_5():
    """Both absolute and in units of each latent's spread over stars, at APOGEE's number of pixels: coefficients in the
    hundreds are rounded by more than that, so that programs have to round as the model does.
    """
    torch.manual_seed(0)
    kind, pixels, stars = Dense(shared=40, split=2, components=96, width=16), 7214, 60
    basis = torch.linalg.qr(torch.randn(pixels, kind.components))[0]
    spaces = [Components(torch.full((pixels,), 0.9), torch.full((pixels,), 200.0), basis) for _ in range(2)]
    scale = torch.logspace(2.5, -0.5, kind.components).flip(0)
    translator = build_translator(kind, tuple(spaces), scale)
    stir(translator)
    model = TrainedModel(make_checkpoint(translator, kind, torch.linspace(15100, 16900, pixels), torch.randn(9, 2)), "")
    programs = dict(exported(model))
    flux = spaces[0].restore(torch.randn(stars, kind.components) * scale)
    mask = (torch.arange(pixels) > pixels // 3).expand_as(flux)
    for name in MAPS[2:]:
        program = torch.export.load(io.BytesIO(programs[name])).module()
        pairs = [getattr(model, name)(flux, mask=mask), program(flux, mask)]
        for expected, found in zip(*([one] if isinstance(one, torch.Tensor) else one for one in pairs), strict=True):
            off = (found - expected).abs().amax(dim=0)
            assert (off <= 1e-5).all()
            assert (off <= 1e-5 * expected.std(dim=0)).all()


def test_programs_hold_neither_pickles_nor_where_they_were_made(programs):
    for content in programs.values():
        archive = zipfile.ZipFile(io.BytesIO(content))
        assert any(member.endswith("/data/weights/weight_0") for member in archive.namelist())
        for member in archive.namelist():
            kept = archive.read(member)
            assert b'"use_pickle": true' not in kept, member
            assert not kept.startswith((b"PK", b"\x80")) or "/weights/" in member, member
            assert b"/cyclegan/" not in kept, member
