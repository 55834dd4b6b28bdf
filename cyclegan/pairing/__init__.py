"""Pairing: which synthetic star is shown beside which observed one."""
