"""Every error that Lamppost raises on purpose.

::

    LamppostError                     exit code 1
    ├── SettingsError                 2   a setting, an option or an environment variable is wrong
    ├── InputError                    3   a file or a record that the user named cannot be used
    │   ├── FrameError                    a frame record is not a valid frame; becomes a dead letter
    │   └── WatchlistError                a template has the wrong dimension, norm, type or id
    ├── BrokerError                   4   Kafka cannot be reached, is too old, refused or went away
    │   ├── TransactionAborted            the transaction was rolled back; rewind and go on
    │   └── Fenced                        a successor took this worker slot; this process must end
    ├── ClusterError                  5   Ray or one of its actors cannot be reached or started
    │   └── ShardUnavailable              no replica of a watchlist shard answered in time
    ├── ResourceError                 6   no disk space, a port in use, too little memory
    ├── ModelError                    7   weights or an extra (torch, faiss) are missing, corrupt or do not fit
    ├── CustodyError                  8   frames are not accounted for: a gap, an overlap, or counts that do not add up
    └── RelayedError                      one of these from another process, with its exit code

Adapters translate a library's errors to the most specific of these at their boundary and keep the cause. The command
line prints the message alone, in one line, and ends with the exit code of the kind.
"""


class LamppostError(Exception):
    """An error whose message tells the user what is wrong and what to do."""

    exit_code: int = 1
    """What the command ends with; an error relayed from another process carries its cause's."""


class SettingsError(LamppostError):
    """A setting has a value that cannot be used; the message names the setting, the value and the fix."""

    exit_code = 2


class InputError(LamppostError):
    """A file or record that the user named cannot be read or used."""

    exit_code = 3


class FrameError(InputError):
    """A record on ``frames`` is not a valid frame; ``reason`` is one of the catalogue's dead-letter reasons."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class WatchlistError(InputError):
    """A watchlist entry has a template of the wrong dimension, type or norm, or an unusable id."""


class BrokerError(LamppostError):
    """Kafka cannot be reached, is too old, refused a request or went away; the message holds the address."""

    exit_code = 4


class TransactionAborted(BrokerError):
    """The open transaction was rolled back; what it held must be consumed again from the committed offsets."""


class Fenced(BrokerError):
    """Another producer with the same transactional id took over; this process must end."""


class ClusterError(LamppostError):
    """Ray, or an actor that the run needs, cannot be reached or started."""

    exit_code = 5


class ShardUnavailable(ClusterError):
    """No replica of a watchlist shard answered within the deadline."""


class ResourceError(LamppostError):
    """The machine lacks what the command needs: disk space, memory, a free port."""

    exit_code = 6


class ModelError(LamppostError):
    """Network weights or an optional package are missing, corrupt or do not fit the settings."""

    exit_code = 7


class CustodyError(LamppostError):
    """Frames are not accounted for; the message names partition and offsets."""

    exit_code = 8


class RelayedError(LamppostError):
    """An error that another process of the run reported; it ends the command as it would have there."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
