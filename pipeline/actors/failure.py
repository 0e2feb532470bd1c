"""What an actor says of the error that ended its work."""

from pipeline.errors import BrokerError, ClusterError, Fenced, LamppostError


def describe(failure: BaseException) -> str:
    """One line for the operator: an own error's message, or the type and text of a foreign one."""
    return str(failure) if isinstance(failure, LamppostError) else f"{type(failure).__name__}: {failure}"


def exit_code_of(failure: BaseException | None) -> int:
    """What a command ends with for it."""
    return failure.exit_code if isinstance(failure, LamppostError) else LamppostError.exit_code


def recoverable(failure: BaseException | None) -> bool:
    """Whether a new process may do better.

    A broker or cluster error may pass; wrong settings, weights or unaccounted frames will not. A process that is
    replaced is killed first, so one that lives and was fenced has a rival, which a successor would fence in turn.
    """
    if isinstance(failure, Fenced):
        return False
    own_kinds = {BrokerError.exit_code, ClusterError.exit_code, LamppostError.exit_code}
    return not isinstance(failure, LamppostError) or failure.exit_code in own_kinds
