"""Training of the autoencoder: its settings, its loss and the terms added to it, and the script."""

from chronotope.train.autoencoder.config import (
    AdversarialConfig,
    AutoencoderRun,
    AutoencoderTraining,
    PerceptualConfig,
)
from chronotope.train.autoencoder.freezing import calibrate, initialise_linear_paths, is_frozen, pixel_sensitivity
from chronotope.train.autoencoder.run import make_optimizers, train_autoencoder
from chronotope.train.autoencoder.validation import validate
from chronotope.train.autoencoder.windows import reconstruct_windows, reconstruction_loss, sample_decoder_noise

__all__ = [
    "AdversarialConfig",
    "AutoencoderRun",
    "AutoencoderTraining",
    "PerceptualConfig",
    "calibrate",
    "initialise_linear_paths",
    "is_frozen",
    "make_optimizers",
    "pixel_sensitivity",
    "reconstruct_windows",
    "reconstruction_loss",
    "sample_decoder_noise",
    "train_autoencoder",
    "validate",
]
