"""Linear maps between the two domains: where the networks start, and what they have to beat."""
