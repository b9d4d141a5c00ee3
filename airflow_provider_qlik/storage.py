"""Files into whatever storage Airflow has: whole, or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, cast

from airflow_provider_qlik.arguments import InvalidArgument

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath


class Folder:
    """A folder of an `ObjectStoragePath`, local or in the cloud, that files are written to.

    :param argument: the argument that named it, for errors.
    :param address: a path, or an address such as ``s3://connection@bucket/reports``.
    """

    def __init__(self, argument: str, address: str) -> None:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        self._argument = argument
        try:
            self.path = ObjectStoragePath(address)
        except Exception as error:  # whatever the storage's own library raises for an address it cannot use
            raise InvalidArgument(argument, address, f"a path or address that Airflow can use ({error})") from error

    def check_writable(self) -> None:
        """Raises InvalidArgument unless a file can be written there and removed again."""
        probe = self._passing("probe")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with self._open(probe) as file:
                file.write(b"")
            probe.unlink()
        except Exception as error:  # each storage raises errors of its own
            raise InvalidArgument(self._argument, str(self.path), f"must be writable ({error})") from error

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file to write, which gets its name when the block ends well, and is gone when it does not."""
        passing = self._passing(name)
        try:
            with self._open(passing) as file:
                yield file
            passing.move(self.path / name)
        except BaseException:
            with suppress(Exception):  # the first error is the one to tell
                passing.unlink()
            raise

    def _open(self, path: ObjectStoragePath) -> AbstractContextManager[BinaryIO]:
        return cast("AbstractContextManager[BinaryIO]", path.open("wb"))  # type: ignore[no-untyped-call]

    def _passing(self, name: str) -> ObjectStoragePath:
        return self.path / f".{name}.{uuid.uuid4().hex[:8]}.part"
