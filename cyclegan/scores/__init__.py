"""Scores of a translation, and signals that need no matched stars."""
