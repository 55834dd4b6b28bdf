"""emulator/payne.py and module.py: the network against NumPy, its file, and its training."""

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer

from emulator.commands.errors import InputError
from emulator.grid import RandomBatches
from emulator.module import PayneModule, absolute_error_percentiles
from emulator.payne import Payne, in_half

NAMES = ("teff", "logg", "fe_h")
LOW, HIGH = torch.tensor([4000.0, 0.0, -1.2]), torch.tensor([7000.0, 5.0, 0.9])
WAVELENGTH = torch.linspace(15000.0, 15010.0, 11, dtype=torch.float64)


def make_payne(width=6):
    torch.manual_seed(0)
    return Payne(NAMES, LOW, HIGH, WAVELENGTH, width=width)


def draw_labels(n):
    return LOW + (HIGH - LOW) * torch.rand(n, len(NAMES), generator=torch.Generator().manual_seed(1))


def test_the_network_is_two_leaky_layers_on_scaled_labels():
    payne, labels = make_payne(), draw_labels(5)
    weights = {name: tensor.double().numpy() for name, tensor in payne.state_dict().items()}
    hidden = (labels.numpy() - weights["label_low"]) / (weights["label_high"] - weights["label_low"]) - 0.5
    for layer in ("hidden.0", "hidden.2"):
        hidden = hidden @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]
        hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
    expected = hidden @ weights["output.weight"].T + weights["output.bias"]
    np.testing.assert_allclose(payne(labels).detach().numpy(), expected, atol=1e-5)


def test_labels_are_never_clamped():
    payne = make_payne()
    beyond = (HIGH + 0.5 * (HIGH - LOW)).requires_grad_()
    payne(beyond[None]).square().sum().backward()
    assert (beyond.grad != 0).all()


def test_flux_stays_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert make_payne()(draw_labels(2)).dtype == torch.float32


def test_labels_in_range_pass_ends_included():
    payne = make_payne()
    payne.check_labels(torch.stack([LOW, HIGH]))
    payne.check_labels(torch.tensor([7000.0, 5.0, 0.9], dtype=torch.float64))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[5000.0, 3.0, 0.0], [8000.0, 3.0, 0.0]], r"'teff': expected 4000 to 7000 K.* got 8000 in row 1"),
        ([[5000.0, 3.0, -1.3]], r"'fe_h': expected -1.2 to 0.9.* got -1.3 in row 0"),
        ([[5000.0, float("nan"), 0.0]], "'logg': expected 0 to 5 dex.* got nan"),
        ([[5000.0, 3.0]], r"expected 3 labels \(teff, logg, fe_h\), got 2"),
    ],
)
def test_labels_out_of_range_are_told(labels, message):
    with pytest.raises(InputError, match=message):
        make_payne().check_labels(torch.tensor(labels))


def test_rounded_it_has_weights_that_half_precision_holds_and_makes_the_same_flux():
    payne, labels = make_payne(), draw_labels(5)
    found = payne.rounded()
    for layer, own in zip((*found.hidden[::2], found.output), (*payne.hidden[::2], payne.output), strict=True):
        assert torch.equal(layer.weight, layer.weight.half().float())
        assert not torch.equal(layer.weight, own.weight)
        assert torch.equal(layer.bias, own.bias)
    torch.testing.assert_close(found(labels), payne(labels), rtol=0, atol=1e-3)
    assert in_half(torch.tensor([1e6, 0.1])).tolist() == [1e6, torch.tensor(0.1).half().item()]


def test_a_saved_payne_comes_back_whole(tmp_path):
    payne, labels = make_payne(), draw_labels(4)
    payne.save(tmp_path / "payne.pt")
    loaded = Payne.load(tmp_path / "payne.pt")
    assert torch.equal(loaded(labels), payne(labels))
    assert loaded.label_names == NAMES
    assert torch.equal(loaded.wavelength, WAVELENGTH)
    assert not loaded.training
    assert [path.name for path in tmp_path.iterdir()] == ["payne.pt"]


def broken_files():
    whole = make_payne().contents()
    state = whole["state"]
    return {
        "another dictionary": {"weights": torch.zeros(3)},
        "a list": [1, 2],
        "another format": whole | {"format": "payne 0"},
        "no state": {name: value for name, value in whole.items() if name != "state"},
        "a missing layer": whole | {"state": {k: v for k, v in state.items() if not k.startswith("hidden.2")}},
        "a deeper network": whole | {"state": state | {"hidden.4.weight": torch.zeros(6, 6)}},
        "another width": whole | {"width": 7},
        "fewer label names": whole | {"label_names": ["teff"]},
        "code": {"format": "payne 1", "payne": make_payne()},
    }


@pytest.mark.parametrize("what", list(broken_files()))
def test_other_contents_are_refused_in_one_line(tmp_path, what):
    path = tmp_path / "other.pt"
    torch.save(broken_files()[what], path)
    with pytest.raises(InputError, match="expected a") as caught:
        Payne.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def changed(**changes):
    contents = make_payne().contents()
    return contents | {"state": contents["state"] | changes.pop("state", {})} | changes


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (
            lambda: changed(state={"output.bias": make_payne().output.bias.detach() * torch.nan}),
            "finite numbers in output",
        ),
        (lambda: changed(state={"label_high": make_payne().label_high * torch.inf}), "finite numbers in label_high"),
        (lambda: changed(state={"label_high": make_payne().label_low}), "lower ends of labels below upper ones"),
        (lambda: changed(state={"wavelength": make_payne().wavelength.flip(0)}), "ascending wavelengths"),
        (lambda: changed(label_names=[" ", *make_payne().label_names[1:]]), "a name for each label, got ' '"),
        (lambda: changed(label_names=[1, *make_payne().label_names[1:]]), "a name for each label, got 1"),
        (lambda: changed(label_names=["teff", "logg", "teff"]), "3 different names of labels, got teff, logg, teff"),
        (
            lambda: changed(state={"output.bias": make_payne().output.bias.detach() + 1e6}),
            "an emulator of flux, at most 100, got",
        ),
        (lambda: changed(lines={"wavelength": 3}), "of two hidden layers, got other weights"),
        (lambda: changed(width="wide"), "of two hidden layers, got other weights"),
    ],
)
def test_contents_that_no_emulator_has_are_refused(contents, words):
    with pytest.raises(InputError, match=f"^payne: expected .*{words}"):
        Payne.from_contents(contents(), "payne")


@pytest.mark.parametrize("content", [None, b"", b"not a network", "truncated"])
def test_damaged_files_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "payne.pt"
    if content == "truncated":
        make_payne().save(path)
        content = path.read_bytes()[:1000]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="expected") as caught:
        Payne.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_percentiles_agree_with_numpy():
    flux, truth = torch.rand(7, 31), torch.rand(7, 31)
    expected = np.percentile((flux - truth).abs().numpy(), [50, 95], method="inverted_cdf")
    np.testing.assert_allclose(absolute_error_percentiles(flux, truth), expected)


def make_module(steps):
    labels = draw_labels(200)
    scaled = (labels - LOW) / (HIGH - LOW) - 0.5
    mean, components = torch.linspace(0.8, 1.0, 11), torch.linalg.qr(torch.randn(11, 3)).Q.T
    truth = 0.3 * torch.stack([scaled[:, 0], scaled[:, 1] * scaled[:, 2], scaled[:, 2]], dim=1)
    module = PayneModule(make_payne(width=32), mean, components, steps=steps, learning_rate=0.01)
    return module, labels, truth


def test_folding_changes_where_the_components_are_not_what_they_say():
    module, labels, _ = make_module(steps=1)
    module.fold()
    payne = module.payne
    hidden = payne.hidden((labels - LOW) / (HIGH - LOW) - 0.5)
    expected = module.mean + module.coefficients(hidden) @ module.components
    torch.testing.assert_close(payne(labels), expected)


def test_training_learns_a_known_sky(tmp_path):
    steps = 400
    module, labels, truth = make_module(steps)
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    flux = module.mean + truth @ module.components
    held_out = RandomBatches((labels[150:], flux[150:]), size=50)
    trainer.fit(module, RandomBatches((labels[:150], truth[:150]), size=50, steps=steps), held_out)
    assert trainer.global_step == steps
    median, high = absolute_error_percentiles(module.payne(labels[150:]), flux[150:])
    assert median < 0.002
    assert high < 0.01
    assert trainer.callback_metrics["val/median_error"] == pytest.approx(median)
