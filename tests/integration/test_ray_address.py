"""A Ray that cannot be reached is told at once."""

import time

import pytest

from pipeline.errors import ClusterError
from pipeline.local.ports import free_ports
from pipeline.runtime.supervision import connected, supervised


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_ray_that_does_not_listen_is_one_error_with_the_address_and_the_setting(
    host: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ray's own attempts would take minutes, hear no signal, and write lines of their own."""
    address = f"{host}:{free_ports(1)[0]}"
    began = time.monotonic()
    with (
        pytest.raises(ClusterError, match=f"{address} cannot be reached .* check run.ray"),
        connected(address, "test", verbose=False),
    ):
        pass
    assert time.monotonic() - began < 6.0
    assert "".join(capfd.readouterr()) == ""


class Stubborn:
    """A supervision whose end fails."""

    ended = False

    def stop(self, drain_seconds: float) -> None:
        """Raise."""
        raise ClusterError("it did not end in time")


def test_what_ended_a_run_is_not_hidden_by_how_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first error is the command's message, and the second stays with it as a note."""
    monkeypatch.setattr("pipeline.runtime.supervision.Supervision", lambda plan: Stubborn())
    with pytest.raises(ValueError, match="the cause") as caught, supervised(None):  # type: ignore[arg-type]  # no plan is looked at
        raise ValueError("the cause")
    assert caught.value.__notes__ == ["it did not end in time"]
