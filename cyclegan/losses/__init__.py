"""Losses: distances, what discriminators judge, and the terms that training adds up."""
