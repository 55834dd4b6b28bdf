"""Training: the module with its two updates, its data, its health, and what it leaves behind."""
