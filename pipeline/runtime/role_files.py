"""Settings files for the roles of a protected local Kafka, with their passwords beside them, as long as it is there."""

import fcntl
import os
import stat
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pipeline.errors import InputError
from pipeline.local.protection import MECHANISM, Protection
from pipeline.runtime.settings_reference import quoted

AUTHORITY: Final = "ca.pem"
MARK: Final = ".gitignore"
"""Keeps the passwords out of version control, and tells this command's files from others of the same names."""
MARK_TEXT: Final = "# lamppost kafka start --secured wrote what is here and takes it away when it ends\n*\n"
FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class RoleFiles:
    """A folder with a settings file and a password file per user; what was written is gone when the block ends.

    Nothing of anybody else's is replaced or removed: only what was written, and what a command that was killed left.
    """

    def __init__(self, folder: Path, protection: Protection) -> None:
        self._folder = folder.absolute()
        self._protection = protection
        self._names = [AUTHORITY, *(f"{user}.{kind}" for user in protection.passwords for kind in ("password", "toml"))]
        self._removal = ExitStack()

    def write(self, address: str) -> list[Path]:
        """Write for every user; returns the settings files.

        Each is for this user alone from its first byte on. Raises OSError if one cannot be written.
        """
        authority = self._write(AUTHORITY, self._protection.authority)
        settings = []
        for user, password in self._protection.passwords.items():
            secret = self._write(f"{user}.password", password + "\n")
            settings.append(self._write(f"{user}.toml", _settings_file(address, user, secret, authority)))
        return settings

    def __enter__(self) -> Self:
        """Take the folder, which is made if it is not there.

        Raises InputError if others may write to it, if it has files of the same names, or if another command has taken
        it; OSError if it cannot be made or written to.
        """
        with ExitStack() as undo:
            try:
                self._folder.mkdir(mode=FOLDER_MODE, parents=True)
                undo.callback(_remove_folder, self._folder)
            except FileExistsError:
                if not self._folder.is_dir():
                    raise
            if self._folder.stat().st_mode & OTHERS_WRITE:
                raise InputError(
                    f"{self._folder} may be written to by others, who could put their files in the place of these; "
                    f"name another folder, or `chmod go-w` this one"
                )
            for name in self._take(undo):
                (self._folder / name).unlink(missing_ok=True)
            self._removal = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._removal.close()

    def _take(self, undo: ExitStack) -> list[str]:
        """Mark the folder; returns the names of what a command that was killed left there."""
        mark, there = self._folder / MARK, [name for name in self._names if os.path.lexists(self._folder / name)]
        if odd := next((name for name in there if not _is_plain(self._folder / name)), None):
            raise _not_ours(self._folder / odd)
        try:
            opened = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE)
            left = False
        except FileExistsError:
            left = _is_plain(mark) and mark.read_bytes() == MARK_TEXT.encode()
            if not left:
                raise _not_ours(mark) from None
            opened = os.open(mark, os.O_RDWR | os.O_NOFOLLOW)
        undo.callback(os.close, opened)
        if not _locked(opened):
            raise InputError(
                f"{self._folder} has the files of another `lamppost kafka start --secured` that runs; "
                f"name another folder"
            )
        undo.callback(_remove, mark, _identity(opened))
        if there and not left:
            raise _not_ours(self._folder / there[0])
        os.pwrite(opened, MARK_TEXT.encode(), 0)
        return there

    def _write(self, name: str, text: str) -> Path:
        file = self._folder / name
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "w", encoding="utf-8") as opened:  # noqa: PTH123 - a path's open() knows no mode
            self._removal.callback(_remove, file, _identity(opened.fileno()))
            opened.write(text)
        return file


def _is_plain(file: Path) -> bool:
    return file.is_file() and not file.is_symlink()


def _identity(opened: int) -> tuple[int, int]:
    """Which file it is, whatever its name becomes: device and inode."""
    found = os.fstat(opened)
    return found.st_dev, found.st_ino


def _locked(opened: int) -> bool:
    """Lock an open file until this process ends, however it does; False if another has it, or had and removed it."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(opened).st_nlink > 0


def _remove(file: Path, written: tuple[int, int]) -> None:
    """Unlink `file` if it is the one that was written, and not another in its place."""
    try:
        found = file.lstat()
        if (found.st_dev, found.st_ino) == written:
            file.unlink()
    except FileNotFoundError:
        return  # somebody has removed it by hand


def _remove_folder(folder: Path) -> None:
    """Remove `folder` unless it is gone or has something of somebody else's."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _not_ours(file: Path) -> InputError:
    return InputError(
        f"{file} is there and is not this command's; name another folder with --secured, or move the file away"
    )


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
