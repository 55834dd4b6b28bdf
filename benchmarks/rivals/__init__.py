"""Other methods beside ours, in the same components, on the same spectra, at the same cost."""
