"""Settings files for the roles of a protected local Kafka, with their passwords beside them, as long as it is there."""

import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pipeline.local.protection import MECHANISM, Protection
from pipeline.runtime.settings_reference import quoted

AUTHORITY: Final = "ca.pem"
FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


class RoleFiles:
    """A folder with a settings file and a password file per user; what was written is gone when the block ends."""

    def __init__(self, folder: Path) -> None:
        """Make `folder` if it is not there; raises OSError if that is refused."""
        self._folder = folder.absolute()
        self._made_folder = not self._folder.exists()
        self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._written: list[Path] = []

    def write(self, address: str, protection: Protection) -> list[Path]:
        """Write for every user; returns the settings files. Files of the same names are replaced.

        Each is for this user alone from its first byte on. Raises OSError if one cannot be written.
        """
        authority = self._write(AUTHORITY, protection.authority)
        settings = []
        for user, password in protection.passwords.items():
            secret = self._write(f"{user}.password", password + "\n")
            settings.append(self._write(f"{user}.toml", _settings_file(address, user, secret, authority)))
        return settings

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._written:
            file.unlink(missing_ok=True)
        if self._made_folder and not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _write(self, name: str, text: str) -> Path:
        file = self._folder / name
        file.unlink(missing_ok=True)  # so that neither an earlier file's mode nor what a link points to is kept
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "w", encoding="utf-8") as opened:  # noqa: PTH123 - a path's open() knows no mode
            opened.write(text)
        self._written.append(file)
        return file


def _settings_file(address: str, user: str, password_file: Path, authority: Path) -> str:
    return f"""[kafka]
brokers = {quoted(address)}

[kafka.security]
protocol = "sasl_ssl"
mechanism = {quoted(MECHANISM)}
username = {quoted(user)}
password_file = {quoted(str(password_file))}
ca_file = {quoted(str(authority))}
"""
