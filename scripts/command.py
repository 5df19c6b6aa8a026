"""What the commands share: a bundle config run with options, and errors of the user's making told in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from monai.bundle import ConfigWorkflow

from bundle.data import root_mammogram_error
from scripts.config_values import plain
from scripts.shipped import ROOT


def refusal_line(error: BaseException) -> str | None:
    """The line for the user in the chain of an error, or None if the error is our own bug."""
    if (refusal := root_mammogram_error(error)) is not None:
        return str(refusal)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (ValueError, OSError)):
            return " ".join(str(cause).split())
        cause = cause.__cause__
    return None


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one line and status 1 where an error is the user's to mend.

    Raises:
        SystemExit: instead of errors that `refusal_line` has a line for.
    """
    try:
        yield
    except Exception as error:
        line = refusal_line(error)
        if line is None:
            raise
        raise SystemExit(f"error: {line}") from None


def open_config(name: str, options: dict[str, Any], **workflow: Any) -> ConfigWorkflow:
    """Parse configs/NAME.yaml as MONAI's inference workflow, without running it.

    Args:
        name: of the config.
        options: its ids and their values, taken as they are but for `Expression`s.
        **workflow: arguments of `ConfigWorkflow`.
    """
    opened = ConfigWorkflow(
        config_file=str(ROOT / "configs" / f"{name}.yaml"),
        meta_file=str(ROOT / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(ROOT),
        **workflow,
        **plain(options),
    )
    opened.initialize()
    return opened


def run_config(name: str, options: dict[str, Any], **workflow: Any) -> None:
    """Run configs/NAME.yaml; arguments as of `open_config`."""
    open_config(name, options, **workflow).run()
