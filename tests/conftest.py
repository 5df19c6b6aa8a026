"""What no test may leave to the next."""

import os
from collections.abc import Iterator

import pytest

from bundle.inferers import autocast

PREFIX = "MLFLOW_"
GIVEN = {name for name in os.environ if name.startswith(PREFIX)}


@pytest.fixture
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bfloat16 is bfloat16 on this processor too, whether it has arithmetic for it or not."""
    monkeypatch.setattr(autocast, "computes_in_bfloat16", lambda device_type: True)


@pytest.fixture(autouse=True)
def _mlflow_exports_nothing() -> Iterator[None]:
    """MLflow exports the store that it writes to, and the processes of later tests would take it for theirs."""
    yield
    for name in {name for name in os.environ if name.startswith(PREFIX)} - GIVEN:
        del os.environ[name]
