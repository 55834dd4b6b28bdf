"""What a figure shows, read back from its axes."""

from matplotlib.axes import Axes
from matplotlib.lines import Line2D


def drawn_line(axes: Axes, label: str) -> Line2D:
    """The one line of this name."""
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return line
