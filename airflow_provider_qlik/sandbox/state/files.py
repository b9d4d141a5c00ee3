"""The files that a sharing task makes: of any size, generated in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from random import Random

CHUNK_BYTES = 64 * 1024

MEDIA_TYPES = {
    "image": "image/png",
    "pdf": "application/pdf",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
"""The content type of each type of file."""

_BEGINNINGS = {"image": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-1.7\n", "html": b"<!DOCTYPE html>"}
_ARCHIVE = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class File:
    """A file that an execution makes.

    alias: its `fileAlias`, by which it is downloaded.
    type: `image`, `pdf`, `pptx`, `xlsx`, `html`, `docx` or another word.
    size: bytes.
    """

    alias: str = "report"
    type: str = "pdf"
    size: int = 1000

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 0:
            raise ValueError(f"file size: {self.size!r} is not a number of bytes from 0")

    def chunks(self, execution_id: str) -> Iterator[bytes]:
        """Yield the content: different for each execution, the same each time, each chunk starting with its number."""
        block = Random(f"{execution_id} {self.alias}").randbytes(CHUNK_BYTES)
        beginning = _BEGINNINGS.get(self.type, _ARCHIVE)
        for number, start in enumerate(range(0, self.size, CHUNK_BYTES)):
            head = number.to_bytes(8, "big") if number else beginning
            yield (head + block[len(head) :])[: self.size - start]

    def sha256(self, execution_id: str) -> str:
        """Return the SHA-256 of the content, in hexadecimal digits."""
        digest = sha256()
        for chunk in self.chunks(execution_id):
            digest.update(chunk)
        return digest.hexdigest()
