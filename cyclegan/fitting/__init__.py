"""Stellar labels of observed spectra, by least squares through a trained model."""
