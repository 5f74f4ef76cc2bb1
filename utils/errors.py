"""The base class of errors that a user can cause."""


class RecitalError(ValueError):
    """An error that the user can fix: its message says where, what was found and what to do.

    Commands print the message without a traceback and exit with a non-zero code; each topic has
    a subclass beside the code that raises it.
    """
