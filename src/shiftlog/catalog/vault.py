"""Secrets at rest: OAuth secrets are encrypted, bearer tokens are kept as hashes only."""

from __future__ import annotations

import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path

from shiftlog.errors import Unusable

VARIABLE = "SHIFTLOG_SECRET_KEY"


class Vault:
    """Encrypts and decrypts with one key (Fernet: AES-128-CBC and HMAC-SHA256)."""

    def __init__(self, key: bytes) -> None:
        from cryptography.fernet import Fernet

        try:
            self._fernet, self._key = Fernet(key), key
        except ValueError:
            raise Unusable(f"the secret key is not one; 32 bytes in URL-safe base64 are expected in {VARIABLE} or the key file") from None

    @classmethod
    def open(cls, file: Path | None, *, create: bool = True) -> Vault:
        """The vault of the key in the environment, else of the key file, which is made (mode 0600) where it is missing and may be.

        Raises:
            Unusable: there is neither, or it is no key.
        """
        given = os.environ.get(VARIABLE)
        if given:
            return cls(given.encode())
        if file is None:
            raise Unusable(f"there is no secret key: set {VARIABLE} or {VARIABLE}_FILE, or name a data directory that has a key file")
        if not create and not file.exists():
            raise Unusable(f"there is no secret key at {file}: copy the one that this deployment was made with, or set {VARIABLE}")
        return cls(_read_or_make(file))

    def encrypt(self, secret: str) -> str:
        return self._fernet.encrypt(secret.encode()).decode()

    def decrypt(self, text: str) -> str:
        """Raises:
        Unusable: it was encrypted with another key.
        """
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(text.encode()).decode()
        except InvalidToken:
            raise Unusable("a secret in the catalog was encrypted with another key; give back the key it was made with") from None

    def derived(self, purpose: str) -> bytes:
        """A key of 32 bytes for another purpose; who has it learns nothing of this one, nor of those for other purposes."""
        return hmac.digest(self._key, purpose.encode(), "sha256")


def hashed(bearer: str) -> str:
    """The hash under which a bearer token is kept. Tokens are 256 random bits, so a plain hash cannot be searched."""
    return sha256(bearer.encode()).hexdigest()


def _read_or_make(file: Path) -> bytes:
    from cryptography.fernet import Fernet

    beside = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    if not file.exists():
        try:
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:  # noqa: PTH123 (a mode at creation)
                out.write(Fernet.generate_key())
                out.flush()
                os.fsync(out.fileno())
            os.link(beside, file)  # fails where another process was first: its key is the one
        except FileExistsError:
            pass
        except OSError as error:
            raise Unusable(f"the key file {file} cannot be written: {error.strerror}") from None
        finally:
            beside.unlink(missing_ok=True)
    try:
        return file.read_bytes().strip()
    except OSError as error:
        raise Unusable(f"the key file {file} cannot be read: {error.strerror}") from None
