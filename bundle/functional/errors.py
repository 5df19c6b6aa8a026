"""The one error that a user sees as a line; here because both reading and transforming a view can end in it."""


class MammogramError(ValueError):
    """A view that cannot be used, in one line: the file, the rule, the value found and the remedy."""
