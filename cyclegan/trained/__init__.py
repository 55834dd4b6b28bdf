"""A trained model: what a run left, read back and in use."""
