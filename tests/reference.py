"""Where the real data are that some tests compare with, beside the checkout."""

from pathlib import Path

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"
