"""A Ray in this process: actors are plain objects, calls are made at once, and every call and reply is weighed."""

import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.actors import child, elastic, parcel, pool, supervisor
from pipeline.runtime import supervision


class Reference:
    """What a call gives: its result, or the error that it raised."""

    def __init__(self, result: Any, error: BaseException | None = None) -> None:
        self._result = result
        self._error = error

    def get(self) -> Any:
        """The result; raises the error."""
        if self._error is not None:
            raise self._error
        return self._result


class Handle:
    """An actor as its callers see it."""

    def __init__(self, ray: "RayInProcess", actor: Any) -> None:
        self._ray = ray
        self._actor = actor

    def __getattr__(self, method: str) -> Any:
        return SimpleNamespace(remote=lambda *arguments: self._ray.call(getattr(self._actor, method), arguments))


class RayInProcess:
    """Stands in for the module ray."""

    def __init__(self) -> None:
        self.heaviest = 0
        """Bytes of the largest call or reply so far, pickled as Ray does."""
        self.actors: dict[str, Handle] = {}
        self.made: list[Any] = []
        """The actors themselves, also those that were killed, in the order of their making."""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take its place wherever a supervisor and its command speak to it."""
        for module in (child, elastic, parcel, pool, supervision, supervisor):
            monkeypatch.setattr(module, "ray", self)

    def remote(self, actor: type) -> Any:
        """What Ray makes of a class."""
        return SimpleNamespace(
            options=lambda **options: SimpleNamespace(remote=lambda *made_of: self._made(actor, options, made_of))
        )

    def call(self, method: Any, arguments: tuple[Any, ...]) -> Reference:
        """Make a call at once."""
        try:
            result = method(*arguments)
        except Exception as error:  # noqa: BLE001  # it is the caller's, who asks for the result
            return Reference(None, error)
        self.heaviest = max(self.heaviest, len(pickle.dumps(arguments)), len(pickle.dumps(result)))
        return Reference(result)

    def get(self, references: Any, timeout: float) -> Any:
        """Ray's get; nothing is ever late."""
        if isinstance(references, list):
            return [reference.get() for reference in references]
        return references.get()

    def wait(self, references: list[Any], timeout: float, num_returns: int = 1) -> tuple[list[Any], list[Any]]:
        """Ray's wait; nothing is ever late."""
        return references, []

    def kill(self, handle: Handle, no_restart: bool) -> None:
        """Forget an actor, without a word to it."""
        self.actors = {name: known for name, known in self.actors.items() if known is not handle}

    def get_actor(self, name: str, namespace: str) -> Handle:
        """An actor by name; raises ValueError if there is none."""
        if name not in self.actors:
            raise ValueError(name)
        return self.actors[name]

    def _made(self, actor: type, options: dict[str, Any], made_of: tuple[Any, ...]) -> Handle:
        name = options["name"]
        if name not in self.actors:
            self.made.append(actor(*made_of))
            self.actors[name] = Handle(self, self.made[-1])
        return self.actors[name]
