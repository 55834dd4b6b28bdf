"""Instruments: what their spectra are, the files that they come in, and bringing those into one layout."""
