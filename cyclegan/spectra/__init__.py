"""Spectra: with errors and masks, in the spaces of networks, in files, resampled, normalised."""
