"""Values for a config that come from outside: names of files, settings from files, words of a command line."""

from typing import Any

ESCAPED: dict[str, str | int | None] = {"@": r"\x40", "%": r"\x25", "#": r"\x23"}


class Expression(str):
    """A reference or expression of the program's own, which a config is to evaluate."""


def plain(value: Any) -> Any:
    """A value as a config takes it for itself.

    MONAI runs a text that begins with $ as Python, replaces one that begins with @ or % by another part of the config
    or another file, and writes # as ::. A view may be called so.

    Args:
        value: any; texts in lists and dictionaries too (in tuples MONAI leaves them alone). `Expression`s stay as they
            are.

    Returns:
        The value, each text with one of these signs as an expression that is that text.
    """
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, Expression):
        return str(value)
    if isinstance(value, str) and not {"$", *ESCAPED}.isdisjoint(value):
        return "$" + repr(value).translate(str.maketrans(ESCAPED))
    return value
