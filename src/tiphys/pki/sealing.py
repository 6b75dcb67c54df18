"""
Encryption at rest: an envelope of AES-256-GCM around stored bytes.

    PREFIX | key id (8) | salt (16) | nonce (12) | ciphertext and tag

Each value gets a key of its own, HMAC-SHA-256(key, salt), so that random nonces stay safe however many values one key
seals. The name of the stored key is authenticated with the value: a sealed value that is moved to another name does not
open. Values without the prefix are plain and are given back as they are, so that encryption can be turned on later.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.pki import files

PREFIX = b"\x00tiphys:aesgcm:1:"
KEY_BYTES = 32
ID_BYTES = 8
SALT_BYTES = 16
NONCE_BYTES = 12
HEADER_BYTES = len(PREFIX) + ID_BYTES + SALT_BYTES + NONCE_BYTES


class SealBroken(Exception):
    """A sealed value does not open: unknown key, changed bytes, or another name. The message says which."""


@dataclass(frozen=True, slots=True)
class SealKey:
    id: bytes
    secret: bytes = field(repr=False)


class Sealer:
    """The first key seals, every key opens."""

    def __init__(self, keys: Sequence[SealKey]) -> None:
        # Imported here: only a process that seals pays for it.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if not keys:
            raise ValueError("sealing needs at least one key")
        self._keys = {key.id: key for key in keys}
        self._newest = keys[0]
        self._cipher = AESGCM
        self._invalid = InvalidTag

    def seal(self, name: bytes, value: bytes) -> bytes:
        """`value` in an envelope that opens only under `name`."""
        salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
        cipher = self._cipher(hmac.digest(self._newest.secret, salt, "sha256"))
        return b"".join((PREFIX, self._newest.id, salt, nonce, cipher.encrypt(nonce, value, name)))

    def open(self, name: bytes, stored: bytes) -> bytes:
        """The value in an envelope; what is not sealed as it is. Raises SealBroken."""
        if not stored.startswith(PREFIX):
            return stored
        if len(stored) < HEADER_BYTES:
            raise SealBroken(f"the sealed value of {name!r} is cut")
        at = len(PREFIX)
        key_id, salt = stored[at : at + ID_BYTES], stored[at + ID_BYTES : at + ID_BYTES + SALT_BYTES]
        nonce = stored[HEADER_BYTES - NONCE_BYTES : HEADER_BYTES]
        key = self._keys.get(key_id)
        if key is None:
            raise SealBroken(
                f"the value of {name!r} was sealed with key {key_id.hex()}, which the key file does not have"
            )
        try:
            return self._cipher(hmac.digest(key.secret, salt, "sha256")).decrypt(nonce, stored[HEADER_BYTES:], name)
        except self._invalid:
            raise SealBroken(f"the sealed value of {name!r} was changed or belongs to another name") from None

    def is_current(self, stored: bytes) -> bool:
        """Whether a value is sealed with the newest key: others should be written again after a rotation."""
        return stored.startswith(PREFIX + self._newest.id)


def new_key() -> SealKey:
    return SealKey(os.urandom(ID_BYTES), os.urandom(KEY_BYTES))


def load_or_create(path: Path) -> Sealer:
    """The keys in a file (made with one key if missing), newest first."""
    if not path.exists():
        save(path, [new_key()])
    return Sealer(load(path))


def rotate(path: Path) -> Sealer:
    """Put a new key in front; the old ones still open."""
    save(path, [new_key(), *load(path)])
    return Sealer(load(path))


def load(path: Path) -> list[SealKey]:
    """One key a line: id in hex, secret in base64. Raises ValueError that names the file, never its content."""
    keys = []
    for number, line in enumerate(path.read_text("ascii").splitlines(), 1):
        try:
            key_id, secret = line.split()
            key = SealKey(bytes.fromhex(key_id), base64.b64decode(secret, validate=True))
        except (ValueError, binascii.Error):
            raise ValueError(f"{path}, line {number}: not a key") from None
        if len(key.id) != ID_BYTES or len(key.secret) != KEY_BYTES:
            raise ValueError(f"{path}, line {number}: a key has {KEY_BYTES} bytes and an id of {ID_BYTES}")
        keys.append(key)
    if not keys:
        raise ValueError(f"{path}: no key in it")
    return keys


def save(path: Path, keys: Sequence[SealKey]) -> None:
    lines = [f"{key.id.hex()} {base64.b64encode(key.secret).decode()}\n" for key in keys]
    files.write(path, "".join(lines).encode())
