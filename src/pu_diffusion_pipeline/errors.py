"""The one exception for a user's mistake: the command line shows its text without a traceback."""


class InvalidInput(ValueError):
    """Names the field, what was expected and what came."""


class TrainingDiverged(RuntimeError):
    """The loss is no longer finite; names the step and the last good checkpoint."""
