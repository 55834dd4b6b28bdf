"""emulator/commands/side_outputs.py: what fails beside the main output is told, and costs nothing else."""

import logging

import matplotlib
import pytest
from matplotlib.figure import Figure

from emulator.commands.errors import InputError
from emulator.commands.side_outputs import as_picture, as_side_output


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), InputError("a: got b"), MemoryError()])
def test_what_fails_is_told_in_one_warning(error, caplog):
    with caplog.at_level(logging.WARNING), as_side_output("history.png"):
        raise error
    (record,) = caplog.records
    assert record.getMessage() == f"history.png is left out: {str(error) or 'MemoryError'}"
    assert record.exc_info is None


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_an_end_is_an_end(end):
    with pytest.raises(end), as_side_output("history.png"):
        raise end


def test_a_picture_is_drawn_as_the_project_draws(tmp_path, caplog):
    """LaTeX is not here, a file name ends in .png, and no font has such a name."""

    def draw(path):
        figure = Figure()
        figure.subplots().set_title("flux_of $T_\\mathrm{eff}$")
        figure.savefig(path)
        return path.read_bytes()

    with as_picture("here"):
        expected = draw(tmp_path / "a.png")
    own = {"text.usetex": True, "font.family": ["no such font"], "savefig.format": "pdf", "figure.dpi": 7}
    with matplotlib.rc_context(own), caplog.at_level(logging.WARNING):
        with as_picture("b.png"):
            found = draw(tmp_path / "b.png")
        assert matplotlib.rcParams["text.usetex"]
    assert found == expected
    assert caplog.records == []
