"""Paths that a command line can hardly hold: commands take them as they are."""

import shutil

import h5py
import torch

ODD = "lr=0.1 (a) [b] {c} #d ~e %f it's é日本"


def test_a_run_in_an_odd_folder_is_resumed_and_used(start, payne_file, synth_file, tmp_path):
    run = tmp_path / ODD
    own = (f"domains.emulator={payne_file}", "logger.wandb=false", "trainer.epochs=1", f"hydra.run.dir={ODD}")
    done = start(tmp_path, *own).wait()
    assert done.code == 0, done.err
    assert {"last.ckpt", "best.ckpt", "metrics.csv", "scores.json", "history.png"} <= {p.name for p in run.iterdir()}
    resumed = start(tmp_path, f"resume={ODD}", "trainer.epochs=2", tiny=()).wait()
    assert resumed.code == 0, resumed.err
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 16
    shutil.copy(synth_file, tmp_path / f"{ODD}.h5")
    options = (f"checkpoint={ODD}", f"input={ODD}.h5", f"output=~/{ODD}.h5")
    home = tmp_path / "home"
    used = start(tmp_path, *options, module="cyclegan.transfer", environment={"HOME": str(home)}).wait()
    assert used.code == 0, used.err
    with h5py.File(home / f"{ODD}.h5") as file:
        assert file["spectra test"].shape[0] == 40
