"""Write files to Airflow's object storage, completely or not at all.

A file is written under a temporary name, ``.name.xxxxxxxx.part``, and renamed when it is complete.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik.lifecycle.file_names import MAX_NAME_BYTES, cut
from airflow_provider_qlik.text import REASON_LENGTH, storable
from airflow_provider_qlik.validation import InvalidArgumentError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

# Patterns are compiled when they are first needed: Dag files import this module each time they are parsed.
_LOCAL_SCHEME = r"(?:file|local)://(?=~)"
# fsspec reads these as a pattern when it moves a file.
_PATTERN_CHARACTERS = r"[*?\[\]]"


class Folder:
    """Write files to a folder of Airflow's object storage, local or in the cloud.

    :param argument: the name of the operator's argument, for errors.
    :param address: a path, in which ``~`` is the home folder, or an address such as ``s3://connection@bucket/reports``.
    """

    def __init__(self, argument: str, address: str) -> None:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        self._argument = argument
        expanded = _absolute(_expanded(argument, address.strip()))
        try:
            self.path = ObjectStoragePath(expanded)
        except Exception as error:  # each storage library raises errors of its own
            allowed = f"{_reason(error)}. Give a path or an address that Airflow's object storage knows"
            raise InvalidArgumentError(argument, address, allowed) from None

    def check_writable(self) -> None:
        """Create the folder and a file in it, and remove the file. Raises InvalidArgumentError if that fails."""
        probe = self._temporary("probe")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with probe.open("wb") as file:  # type: ignore[no-untyped-call]
                file.write(b"")
            probe.unlink()
        except Exception as error:  # each storage raises errors of its own
            allowed = f"{_reason(error)}: no file can be written to {str(self.path)!r}. Check the folder and its rights"
            raise InvalidArgumentError(self._argument, None, allowed) from None

    @contextmanager
    def writing(self, name: str) -> Iterator[StoredFile]:
        """Open a file that gets its name if the block succeeds, and is removed if it fails.

        A file of that name is replaced. Raises AirflowException for errors of the storage.
        """
        temporary, target = self._temporary(name), self.path / name
        try:
            with _storage_errors(target):
                opened = temporary.open("wb")  # type: ignore[no-untyped-call]
            try:
                yield StoredFile(opened, target)
            except BaseException:
                with suppress(Exception):  # the first error is the one to raise
                    opened.close()
                raise
            with _storage_errors(target):
                opened.close()
                if target.protocol in ("", "file") and target.is_dir():
                    # A file that is moved there would be put into that folder, under its temporary name.
                    raise IsADirectoryError("A folder of that name is in the way")
                temporary.move(target)
        except BaseException:
            with suppress(Exception):  # the first error is the one to raise
                temporary.unlink()
            raise

    def _temporary(self, name: str) -> ObjectStoragePath:
        return self.path / f".{re.sub(_PATTERN_CHARACTERS, '_', cut(name, MAX_NAME_BYTES))}.{uuid.uuid4().hex[:8]}.part"


class StoredFile:
    """A file of a `Folder` that is being written."""

    def __init__(self, file: Any, target: ObjectStoragePath) -> None:
        self._file = file
        self._target = target

    def write(self, data: bytes) -> None:
        """Write all of the data. Raises AirflowException for errors of the storage."""
        with _storage_errors(self._target):
            self._file.write(data)


@contextmanager
def _storage_errors(target: ObjectStoragePath) -> Iterator[None]:
    """Turn any error of the storage in the block into one error that names the file."""
    from airflow.providers.common.compat.sdk import AirflowException

    try:
        yield
    except Exception as error:  # each storage raises errors of its own
        raise AirflowException(
            f"{_reason(error)}: the file was not saved. Check the storage, its space and its rights. File {target}"
        ) from None


def _expanded(argument: str, address: str) -> str:
    """Return the address with the home folder in place of ``~``, where it is a local path."""
    path = re.sub(_LOCAL_SCHEME, "", address)
    if not path:
        raise InvalidArgumentError(argument, None, "the path is empty. Give the path or address of a folder")
    if not path.startswith("~"):
        return address
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise InvalidArgumentError(argument, None, f"no home folder is known for {path!r}. Give the path in full")
    return expanded


def _absolute(address: str) -> str:
    """Return a local path in full. Before Airflow 3.2 a relative one would be taken from the root of all folders."""
    return address if "://" in address else os.path.join(os.getcwd(), address)


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return storable(text.rstrip(". "), REASON_LENGTH) or type(error).__name__
