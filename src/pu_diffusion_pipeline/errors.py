"""The one exception for a user's mistake: the command line shows its text without a traceback."""


class InvalidInput(ValueError):
    """Names the field, what was expected and what came."""


class ProcessFailed(RuntimeError):
    """A process of a training over several has ended early; says which, how, and how to go on."""


class TrainingDiverged(RuntimeError):
    """The loss is no longer finite; names the step and the last good checkpoint."""
