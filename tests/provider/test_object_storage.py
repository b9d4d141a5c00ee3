"""Folders of any storage: a file is there as a whole, or not at all."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowException, ObjectStoragePath

from airflow_provider_qlik.lifecycle.object_storage import Folder
from airflow_provider_qlik.validation import InvalidArgumentError


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder("download_to", str(tmp_path))


def write(folder: Folder, name: str, parts: Iterable[bytes]) -> None:
    with folder.writing(name) as file:
        for part in parts:
            file.write(part)


@pytest.fixture
def bucket() -> Iterator[Folder]:
    """A folder that is not in the file system."""
    import fsspec  # type: ignore[import-untyped]  # it has no types

    try:
        store = importlib.import_module("airflow.sdk.io.store")
    except ImportError:  # Airflow 2
        store = importlib.import_module("airflow.io.store")

    files = fsspec.filesystem("memory")
    store.attach("memory", fs=files)
    folder = Folder("download_to", "memory://bucket/reports")
    folder.check_writable()
    yield folder
    files.store.clear()


def names(folder: Folder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


@pytest.mark.parametrize("name", ["a.pdf", "ü" * 120, "x" * 255, "[1]*.pdf", "a b#c.pdf"])
def test_a_file_has_its_name_when_it_is_whole_and_not_before(folder: Folder, tmp_path: Path, name: str) -> None:
    with folder.writing(name) as file:
        file.write(b"one ")
        (passing,) = os.listdir(tmp_path)
        assert passing != name
        assert passing.startswith(".")
        assert passing.endswith(".part")
        assert len(passing.encode()) <= 255
        file.write(b"two")

    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"one two"


@pytest.mark.parametrize("name", ["a.pdf", "[1]*?.pdf", "a b.pdf"])
def test_a_bucket_takes_the_same_names_as_a_folder(bucket: Folder, name: str) -> None:
    write(bucket, name, [b"one ", b"two"])

    assert names(bucket) == [name]
    assert (bucket.path / name).read_bytes() == b"one two"


@pytest.mark.parametrize("error", [RuntimeError("cut off"), KeyboardInterrupt(), SystemExit()], ids=repr)
def test_a_file_that_is_not_whole_is_removed_and_the_one_before_stays(
    folder: Folder, tmp_path: Path, error: BaseException
) -> None:
    write(folder, "a.pdf", [b"before"])

    def breaks_off() -> Iterator[bytes]:
        yield b"half"
        raise error

    with pytest.raises(type(error)):
        write(folder, "a.pdf", breaks_off())

    assert os.listdir(tmp_path) == ["a.pdf"]
    assert (tmp_path / "a.pdf").read_bytes() == b"before"


def test_a_folder_in_the_way_of_a_file_is_an_error_and_not_filled(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").mkdir()

    with pytest.raises(AirflowException, match="^A folder of that name is in the way: the file was not saved"):
        write(folder, "a.pdf", [b"x"])
    assert list(tmp_path.rglob("*")) == [tmp_path / "a.pdf"]


def test_a_storage_that_is_full_is_named_by_the_reason_first(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            self.write(b"")

    monkeypatch.setattr(ObjectStoragePath, "open", lambda *_: Full())
    with pytest.raises(
        AirflowException, match=r"^No space left on device: the file was not saved\. .*a\.pdf$"
    ) as raised:
        write(folder, "a.pdf", [b"x"])
    assert raised.value.__suppress_context__


def test_a_folder_that_is_none_is_refused_with_the_reason_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(
        InvalidArgumentError, match="^download_to: Not a directory: no file can be written to '.*/file/reports'"
    ):
        Folder("download_to", str(tmp_path / "file" / "reports")).check_writable()
    with pytest.raises(InvalidArgumentError, match="^download_to: "):
        Folder("download_to", "no-such-protocol://bucket").check_writable()
    with pytest.raises(InvalidArgumentError, match="^download_to: ") as raised:
        Folder("download_to", str(tmp_path / "a\0b")).check_writable()
    assert "\0" not in str(raised.value)


@pytest.mark.parametrize("address", ["", "  ", "\n"])
def test_an_empty_path_is_not_the_current_folder(address: str) -> None:
    with pytest.raises(InvalidArgumentError, match="^download_to: the path is empty"):
        Folder("download_to", address)


def test_the_home_folder_is_put_in_place_of_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    for address in ("~/reports", " ~/reports ", "file://~/reports", f"{tmp_path}/reports"):
        assert str(Folder("download_to", address).path) == f"{tmp_path}/reports"
    assert str(Folder("download_to", "~").path) == str(tmp_path)
    assert str(Folder("download_to", "reports/~").path) == f"{Path.cwd()}/reports/~"
    assert str(Folder("download_to", "s3://bucket/~/x").path) == "s3://bucket/~/x"
    with pytest.raises(InvalidArgumentError, match="^download_to: no home folder is known for '~nobody-here/x'"):
        Folder("download_to", "~nobody-here/x")


def test_checking_a_folder_leaves_nothing_in_it(folder: Folder, tmp_path: Path) -> None:
    folder.check_writable()
    assert os.listdir(tmp_path) == []
