"""Secrets at rest: OAuth secrets are encrypted, bearer tokens are kept as hashes only."""

from __future__ import annotations

import hmac
import os
import secrets
import threading
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from shiftlog.errors import Unusable

VARIABLE = "SHIFTLOG_SECRET_KEY"


class Vault:
    """Encrypts with one key, and decrypts with that and with the ones before it (Fernet: AES-128-CBC and HMAC-SHA256).

    Keys from a file are read again where the file has changed: a key is rotated without a process having to be restarted.
    """

    def __init__(self, *given: bytes, file: Path | None = None) -> None:
        self._file, self._seen = file, None if file is None else _stamp(file)
        self._lock = threading.Lock()
        self._use(given)

    @classmethod
    def open(cls, file: Path | None, *, create: bool = True) -> Vault:
        """The vault of the keys in the environment, else of the key file, which is made (mode 0600) where it is missing and may be.

        Raises:
            Unusable: there is neither, or it is no key.
        """
        given = os.environ.get(VARIABLE)
        if given:
            return cls(*given.replace(",", " ").encode().split())
        if file is None:
            raise Unusable(f"there is no secret key: set {VARIABLE} or {VARIABLE}_FILE, or name a data directory that has a key file")
        if not create and not file.exists():
            raise Unusable(f"there is no secret key at {file}: copy the one that this deployment was made with, or set {VARIABLE}")
        return cls(*_read_or_make(file), file=file)

    @property
    def keys(self) -> int:
        """How many keys are accepted; secrets are encrypted with the first."""
        return len(self._keys)

    @property
    def in_file(self) -> bool:
        """Whether the keys are in a file, and not in the environment."""
        return self._file is not None

    def encrypt(self, secret: str) -> str:
        self._refresh()
        return self._fernet.encrypt(secret.encode()).decode()

    def decrypt(self, text: str) -> str:
        """Raises:
        Unusable: it was encrypted with another key.
        """
        from cryptography.fernet import InvalidToken

        for last in (False, True):
            try:
                return self._fernet.decrypt(text.encode()).decode()
            except InvalidToken:
                if last or not self._refresh():
                    break
        raise Unusable("a secret in the catalog was encrypted with another key; give back the key it was made with")

    def is_current(self, text: str) -> bool:
        """Whether a text was encrypted with the first key."""
        from cryptography.fernet import Fernet, InvalidToken

        try:
            Fernet(self._keys[0]).decrypt(text.encode())
        except InvalidToken:
            return False
        return True

    def derived(self, purpose: str) -> list[bytes]:
        """Keys of 32 bytes for another purpose, one of each key; who has one learns nothing of these, nor of those for other purposes."""
        self._refresh()
        return [hmac.digest(key, purpose.encode(), "sha256") for key in self._keys]

    # ── rotating ──

    def rotate(self) -> None:
        """Put a new key before those in the file; what they have encrypted can be decrypted as before.

        Raises:
            Unusable: the file cannot be written, or the keys are not in a file.
        """
        from cryptography.fernet import Fernet

        self._refresh()
        self._write([Fernet.generate_key(), *self._keys])

    def retire(self) -> None:
        """Forget all keys but the first. What others have encrypted is lost: see `sealed.current` before.

        Raises:
            Unusable: the file cannot be written, or the keys are not in a file.
        """
        self._refresh()
        self._write(self._keys[:1])

    def _write(self, keys: Sequence[bytes]) -> None:
        if self._file is None:
            raise Unusable(f"the secret keys are in {VARIABLE}, and have to be changed there")
        beside = self._file.with_name(f"{self._file.name}.{secrets.token_hex(4)}")
        try:
            _create(beside, b"\n".join(keys) + b"\n")
            beside.replace(self._file)
        except OSError as error:
            raise Unusable(f"the key file {self._file} cannot be written: {error.strerror}") from None
        finally:
            beside.unlink(missing_ok=True)
        self._refresh()

    def _refresh(self) -> bool:
        """Read the file again where it has changed; whether it had."""
        if self._file is None or (stamp := _stamp(self._file)) in (self._seen, None):
            return False
        with self._lock:
            self._use(_read(self._file))
            self._seen = stamp
        return True

    def _use(self, given: Sequence[bytes]) -> None:
        from cryptography.fernet import Fernet, MultiFernet

        try:
            self._fernet, self._keys = MultiFernet([Fernet(key) for key in given]), tuple(given)
        except ValueError:
            raise Unusable(
                f"the secret key is not one; 32 bytes in URL-safe base64 are expected in {VARIABLE} or the key file, or several of them"
            ) from None


def hashed(bearer: str) -> str:
    """The hash under which a bearer token is kept. Tokens are 256 random bits, so a plain hash cannot be searched."""
    return sha256(bearer.encode()).hexdigest()


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """By which a file is known to have changed."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _create(file: Path, content: bytes) -> None:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:  # noqa: PTH123 (a mode at creation)
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def _read_or_make(file: Path) -> list[bytes]:
    from cryptography.fernet import Fernet

    beside = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    if not file.exists():
        try:
            _create(beside, Fernet.generate_key())
            os.link(beside, file)  # fails where another process was first: its key is the one
        except FileExistsError:
            pass
        except OSError as error:
            raise Unusable(f"the key file {file} cannot be written: {error.strerror}") from None
        finally:
            beside.unlink(missing_ok=True)
    return _read(file)


def _read(file: Path) -> list[bytes]:
    try:
        return file.read_bytes().split()
    except OSError as error:
        raise Unusable(f"the key file {file} cannot be read: {error.strerror}") from None
