"""A cycle-GAN between synthetic and observed stellar spectra."""
