"""The one error that a user can cause."""


class RecitalError(ValueError):
    """Something the user can mend: its message says where, what was found and what to do.

    Commands print the message without a traceback and exit with a non-zero code; every topic has
    its own child beside the code that raises it.
    """
