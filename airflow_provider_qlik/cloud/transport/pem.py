"""Repairs private keys in PEM form that lost their shape on the way through forms, files and environment variables.

A key is pasted with its line ends as ``\\n``, in quotes, on one line, with the line ends of Windows, or encoded in
base64 as a whole. Each of these has one possible meaning, so the key is put into the shape that a reader of PEM takes.
Any other text stays as it is, for the reader to refuse.

Nothing here raises: a traceback would show the key among the local variables.
"""

from __future__ import annotations

import base64
import re
import textwrap

from pydantic import SecretStr

_LABEL = r"-----\s*{}\s*([A-Z0-9]*?)\s*PRIVATE\s*KEY\s*-----"
_BLOCK = re.compile(_LABEL.format("BEGIN") + "(.*?)" + _LABEL.format("END"), re.DOTALL)
_QUOTES = "\"'`“”‘’\ufeff"  # noqa: RUF001 (typographic quotation marks, as text processors write them)


def repaired(pem: SecretStr) -> SecretStr:
    """Return the private key in PEM form with its lines as they should be, or the text as it is if there is none."""
    text = _plain(pem.get_secret_value())
    if "-----" not in text:
        text = _plain(_decoded(text)) or text
    block = _BLOCK.search(text)
    if block is None or ":" in block[2]:
        # No private key, or one with headers, which only encrypted keys have.
        return SecretStr(text)
    label = f"{block[1]} PRIVATE KEY".strip()
    lines = textwrap.wrap("".join(block[2].split()), 64)
    return SecretStr("\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"]) + "\n")


def pem_label(pem: SecretStr) -> str | None:
    """Return the label of a PEM block that is no private key, such as "certificate"; None if there is none."""
    text = pem.get_secret_value()
    label = re.search(r"-----BEGIN ([A-Z0-9 ]+)-----", text)
    if label is None or label[1].endswith("PRIVATE KEY"):
        return None
    return label[1].lower()


def _plain(text: str) -> str:
    """Return the text without quotes and blanks around it, and with real line ends."""
    text = re.sub(r"(?:\\+[rn])+", "\n", text.replace("\r", "\n"))
    return text.strip(_QUOTES + " \t\n\\")


def _decoded(text: str) -> str:
    compact = "".join(text.split()).translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True).decode()
    except ValueError:
        return ""
