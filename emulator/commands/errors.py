"""Bad input is told in one line: what, expected, got, where; and the exit code is 2."""

INTERRUPTED = 130  # the exit code of what Ctrl-C ends


class InputError(ValueError):
    """Something the user gave cannot be used. The message is one line: what, expected, got, where."""
