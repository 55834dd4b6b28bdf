"""cyclegan/evaluation/translations.py: what the report calls translated is what the translator gives."""

import pytest
import torch

from cyclegan.evaluation.translations import translate
from cyclegan.scores.scores import deviation
from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.domains import find_domains


def test_translations_are_those_of_the_translator(trained):
    domains = find_domains(trained, None, None)
    synth, obs = domains.synth.matched("val"), domains.obs.matched("val")
    made = translate(trained.translator, synth, obs)
    translator = trained.translator
    _, split = translator.encoder_o(translator.space_o.project(obs).flux)
    close = {"rtol": 0, "atol": 1e-5}
    torch.testing.assert_close(made.so, translator.synth_to_obs(synth, split), **close)
    others = torch.cat([split[-1:], split[:-1]])
    torch.testing.assert_close(made.so_other, translator.synth_to_obs(synth, others), **close)
    torch.testing.assert_close(made.os, translator.obs_to_synth(obs), **close)
    cycle = translator.obs_to_synth(Spectra(made.so, obs.error, obs.mask))
    assert made.signals["cycle_synth"] == pytest.approx(deviation(cycle, synth), rel=1e-3)
    assert made.signals["reconstruction_obs"] == pytest.approx(deviation(made.oo, obs), rel=1e-6)
