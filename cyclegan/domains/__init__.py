"""The two domains: whose population, from a file or an emulator, and what a telescope does to it."""
