"""A cycle-GAN between synthetic and observed spectra of stars.

Where to begin reading: `training/module.py` has the two updates, `translator/translator.py` what becomes of a batch,
`losses/terms.py` what is minimised, `pairing/pairing.py` who is shown beside whom. Rooms, from left to right, each
importing only from those before it: spectra, instruments, domains, translator, pairing, linear, losses, scores,
trained, figures, training, fitting, discovery, synthetic_gap, evaluation; then the commands, a file each in this
folder.
"""

from cyclegan.spectra.spectra import Spectra
from cyclegan.trained.loading import load
from cyclegan.trained.model import TrainedModel

__version__ = "0.2.0"
__all__ = ["Spectra", "TrainedModel", "__version__", "load"]
