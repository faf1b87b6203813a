"""Exceptions whose text the command line shows without a traceback."""


class InvalidInput(ValueError):
    """A user's mistake: names the field, what was expected and what came."""


class ProcessFailed(RuntimeError):
    """A process of a training over several has ended early; says which, how, and how to go on."""


class TrainingDiverged(RuntimeError):
    """The loss is no longer finite; names the step and the last good checkpoint."""
