"""The translator: encoders and generators over a shared and a split latent space."""
