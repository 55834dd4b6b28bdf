"""cyclegan/training/populations.py: what is told of observed stars that theory has nothing like."""

import torch

from cyclegan.domains.from_file import HDF5Domain
from cyclegan.training.populations import LONELY, write_lonely


def test_stars_without_a_counterpart_are_named(domain_files, tmp_path):
    obs = HDF5Domain(domain_files[1])
    met = torch.ones(obs.count("train"), dtype=torch.bool)
    met[[3, 17]] = False
    write_lonely(met, obs, tmp_path)
    names = [obs.train_names[row] for row in (3, 17)]
    assert (tmp_path / LONELY).read_text().splitlines() == ["subset,id", *(f"train,{name}" for name in names)]


def test_no_table_is_written_where_every_star_has_one(domain_files, tmp_path):
    obs = HDF5Domain(domain_files[1])
    write_lonely(torch.ones(obs.count("train"), dtype=torch.bool), obs, tmp_path)
    write_lonely(None, obs, tmp_path)
    assert not (tmp_path / LONELY).exists()
