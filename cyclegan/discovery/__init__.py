"""Lines that theory lacks, and whose they are."""
