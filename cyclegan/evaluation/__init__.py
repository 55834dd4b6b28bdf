"""A finished run looked at: scored again, examined, and a report of it."""
