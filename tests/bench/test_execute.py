"""How an attempt that raised becomes a typed failure."""

import pytest

from bench.errors import BadInput, Contaminated, Unavailable
from bench.execute import failure
from bench.record import PASSING

STRANGER = "Another process came to the GPU while the measurement ran: keep it free and run again."


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadInput("no"), "bad spec"),
        (Unavailable("no"), "bad spec"),
        (Contaminated(STRANGER), "contaminated"),
        (Contaminated("the process asked to allocate, and was out of memory"), "contaminated"),  # by type, not by words
        (MemoryError(), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (RuntimeError("contaminated"), "bug"),
        (ValueError("out of memory"), "bug"),
    ],
)
def test_kinds_of_failure(error: Exception, kind: str) -> None:
    assert failure(error, "measure").kind == kind


def test_a_contaminated_measurement_says_its_sentence_and_may_pass() -> None:
    found = failure(Contaminated(STRANGER), "measure")
    assert (found.stage, found.reason) == ("measure", STRANGER)
    assert found.kind in PASSING
    assert failure(RuntimeError("x"), "measure").reason == "RuntimeError: x"
