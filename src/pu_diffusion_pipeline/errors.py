"""Exceptions that the command line shows as one message, without a traceback."""


class InvalidInput(ValueError):
    """A user's mistake. Names the field, what was expected and what was given."""


class ProcessFailed(RuntimeError):
    """One of several processes has ended early. Says which, how, and how to go on."""


class TrainingDiverged(RuntimeError):
    """The loss is not finite any more. Names the step and the last good checkpoint."""
