"""From a configuration to the parts of a training: domains, data, module, trainer."""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import Logger
from torch import Tensor

from cyclegan.domains.domains import Domain, Domains, Stars, check_domains, fingerprints, make_domains
from cyclegan.domains.emulated import EmulatedDomain
from cyclegan.domains.from_file import HDF5Domain
from cyclegan.domains.population import Drawn
from cyclegan.domains.uniform import is_learned
from cyclegan.linear.assignment import assignment_maps
from cyclegan.linear.gaussian_transport import gaussian_transport
from cyclegan.linear.maps import LinearMaps, controls
from cyclegan.linear.population import population_shift
from cyclegan.pairing.anchors import read_anchors
from cyclegan.pairing.pairing import Pairing, PairingSettings
from cyclegan.spectra.spaces import Components, projected_on
from cyclegan.trained.record import Record
from cyclegan.trained.run_folder import BEST, LAST
from cyclegan.training.checkpoints import LastCheckpoint
from cyclegan.training.data import SpectraData
from cyclegan.training.ending import Ending
from cyclegan.training.logs import RunProgress
from cyclegan.training.module import CycleGAN
from cyclegan.training.schedule import Schedule
from cyclegan.training.schema import TrainConfig, TrainerConfig
from cyclegan.training.theory import Theory
from cyclegan.translator.ensemble import Stacked
from cyclegan.translator.networks import Starting, make_networks
from cyclegan.translator.translator import Translator, build_discriminators, build_translator, ensemble_of
from emulator.commands.errors import InputError
from emulator.commands.processes import LoneTrainer

log = logging.getLogger(__name__)


def build_domains(config: TrainConfig, theory: Theory, device: torch.device) -> Domains:
    """The domains of a run, emulated ones on a device; InputError where they cannot be trained on together."""
    emulator, observed = (None if one is None else one.to(device) for one in (theory.emulator, theory.observed))
    pool = 1 if config.selection.by == "none" else config.selection.pool
    domains = make_domains(config.domains, emulator, theory.population, theory.hidden, pool, observed=observed)
    check_domains(domains, pairing_settings(config, domains).fewest_synthetic)
    return domains


def pairing_settings(config: TrainConfig, domains: Domains) -> PairingSettings:
    """How a run pairs its stars."""
    return PairingSettings(
        seed=config.seed,
        by_likeness=config.losses.get("pairs", 0.0) > 0,
        share=1.0 if config.pairs.share is None and _drawn_alike(config, domains) else config.pairs.share,
        fixed=domains.synth.fixed and domains.obs.fixed,
        anew=_drawn_from_a_file(domains.obs),
        choice=config.selection.by,
        pool=config.selection.pool,
        unjudged=math.ceil(config.trainer.warm_up * config.trainer.epochs),
        resampled=config.ensemble > 1,
    )


def _drawn_alike(config: TrainConfig, domains: Domains) -> bool:
    """Whether the stars of both domains are alike as they are drawn, so that pairing has not to find out."""
    if not isinstance(domains.synth, EmulatedDomain):
        return False
    if isinstance(domains.obs, EmulatedDomain):
        return True
    # Of observed stars that are drawn anew, it has to find out which have no counterpart.
    return is_learned(config.domains.population) and domains.obs.fixed


def _drawn_from_a_file(domain: Domain) -> bool:
    return isinstance(domain, HDF5Domain) and not domain.fixed


def build(
    config: TrainConfig, domains: Domains, theory: Theory, stars: Stars, obs_met: Tensor | None = None
) -> tuple[CycleGAN, SpectraData]:
    """The module and the data that a settled configuration describes.

    stars (N, P), (M, P): of the first epoch; obs_met (M,): which observed training stars of a file in memory have a
    counterpart in theory, if that has been found. Raises InputError for what does not fit the spectra.
    """
    settings, networks = config.trainer, make_networks(config.networks)
    assert settings.steps is not None  # the configuration is settled
    assert settings.learning_rate is not None
    assert settings.weight_decay is not None
    data = SpectraData(domains, settings.steps, config.seed)
    anchors = None if config.domains.anchors is None else read_anchors(config.domains.anchors, domains)
    pairing = Pairing(pairing_settings(config, domains), anchors, obs_met)
    matching = pairing.counterparts(stars.to("cpu"))
    spaces = networks.spaces(matching.synth, matching.obs)
    shift = spaces[1].mean - spaces[0].mean
    if isinstance(spaces[0], Components):
        spaces[0].mean.add_(population_shift(*matching, spaces[0]))
    else:
        pairing.compare_in_components(matching)
    seen = Stars(*(projected_on(space, side) for space, side in zip(spaces, stars, strict=True)))
    scale = torch.cat([side.flux for side in seen]).std(dim=0).clamp_min(1e-3)
    members = [build_translator(networks, spaces, scale) for _ in range(config.ensemble)]
    maps = start_linearly(members, matching, config.seed)
    judges = [build_discriminators(networks, member, scale) for member in members]
    translator, discriminators = members[0], judges[0]
    if config.ensemble > 1:
        if not translator.has_axes:
            raise InputError(
                f"config key 'ensemble': expected 1 for networks whose latents cannot be turned, got {config.ensemble}"
            )
        translator = ensemble_of(members)
        discriminators = Stacked([judge for judge, _ in judges]), Stacked([judge for _, judge in judges])
    record = replace(record_of(config, domains, theory), controls=controls(shift, maps))
    pairings = [pairing, *(pairing.of_member(number) for number in range(1, config.ensemble))]
    schedule = Schedule(
        steps=settings.epochs * settings.steps,
        epoch_steps=settings.steps,
        # The mean of several has less of the noise of small batches.
        batch_size=settings.batch_size if config.ensemble == 1 else max(2, settings.batch_size // 2),
        warm_up=settings.warm_up,
        learning_rate=settings.learning_rate,
        discriminator_learning_rate=settings.discriminator_learning_rate,
        weight_decay=settings.weight_decay,
        log_every=settings.log_every,
    )
    return CycleGAN(translator, discriminators, pairings, config.losses, schedule, config.seed, record), data


def record_of(config: TrainConfig, domains: Domains, theory: Theory) -> Record:
    """What the checkpoints of a run stand on that is known before its networks are."""
    continuum = domains.synth.continuum if isinstance(domains.synth, EmulatedDomain) else None
    return Record(
        config=asdict(config),
        wavelength=domains.synth.wavelength.cpu(),
        emulator=None if theory.emulator is None else theory.emulator.contents(),
        observed_emulator=None if theory.observed is None else theory.observed.contents(),
        hidden=theory.hidden,
        continuum=None if continuum is None else continuum.contents(),
        matched=domains.matched,
        population=theory.population.contents() if isinstance(theory.population, Drawn) else None,
        offset=theory.offset,
        spectra=fingerprints(domains),
    )


def start_linearly(members: Sequence[Translator], stars: Stars, seed: int) -> dict[str, LinearMaps]:
    """Start translators as Gaussian optimal transport between stars (N, P), (M, P) on the CPU; linear maps by name.

    Several start each from a bootstrap sample of the stars (Efron 1979). Networks that cannot be started so keep the
    mean shift.
    """
    spaces = members[0].space_s, members[0].space_o
    if not isinstance(spaces[0], Components):
        return {}
    coordinates = [projected_on(*pair).flux for pair in zip(spaces, stars, strict=True)]
    transport = gaussian_transport(*coordinates)
    log.info("the start: Gaussian transport, which believes %.0f %% of the gap", 100 * transport.trust)
    draws = torch.Generator().manual_seed(seed)
    for member in members:
        maps = transport.maps
        if len(members) > 1:
            again = (side[torch.randint(len(side), (len(side),), generator=draws)] for side in coordinates)
            maps = gaussian_transport(*again).maps
        for network, matrix in ((member.generator_o, maps.forward), (member.encoder_o, maps.back)):
            if isinstance(network, Starting):
                network.start_linear(matrix)
    return {"transport": transport.maps, "assignment": assignment_maps(coordinates[0], coordinates[1], seed)}


def make_trainer(
    settings: TrainerConfig,
    folder: Path,
    loggers: list[Logger],
    watchers: list[Callback],
    device: torch.device,
    matched: bool,
    ending: Ending,
) -> Trainer:
    """A Trainer as `trainer` of a configuration says, that keeps the best and the last checkpoint in a run's folder.

    watchers: callbacks, which checkpoints hold the state of; ending: what a checkpoint is written before.
    """
    monitor = "x_synth_obs" if matched else None  # without matched stars nothing says which epoch is best: the last is
    # Before the last checkpoint is written, which has to know of it, and not, as Lightning would, after the epoch.
    best = ModelCheckpoint(
        folder, Path(BEST).stem, monitor=monitor, save_on_train_epoch_end=False, enable_version_counter=False
    )
    return LoneTrainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        max_epochs=settings.epochs,
        reload_dataloaders_every_n_epochs=1,
        logger=loggers,
        callbacks=[*watchers, RunProgress(), best, LastCheckpoint(folder / LAST, settings.checkpoint_every, ending)],
        log_every_n_steps=settings.log_every,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
