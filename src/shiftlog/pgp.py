"""OpenPGP keys: what may be encrypted to, and files encrypted and decrypted (AES-256; RFC 4880, RFC 9580). Needs the extra `pgp`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shiftlog.errors import Damaged, Invalid, Later, Unusable

PASSPHRASE = "SHIFTLOG_PGP_PASSPHRASE"  # noqa: S105 (the name of a variable)


def public_key(data: bytes, name: str) -> str:
    """One public key, armored, to which files can be encrypted now; `name` is what it is called in messages.

    Raises:
        Invalid: it is none: a private key, several, one that has expired, was revoked, or is for signing only.
        Unusable: the extra is missing.
    """
    pgp = _library()
    if _is_private(data):
        raise Invalid(f"{name} holds a private key, which belongs to its owner alone; export the public one: gpg --armor --export")
    try:
        certs = pgp.Cert.split_bytes(data)
    except Exception as error:  # the library has one kind of error, which is RuntimeError
        raise Invalid(f"{name} is no OpenPGP public key ({_said(error)}); gpg --armor --export ID writes one") from None
    if len(certs) != 1:
        raise Invalid(f"{name} holds {len(certs)} public keys; one is expected: gpg --armor --export ID")
    _check(pgp, certs[0], name)
    return str(certs[0])


def _is_private(data: bytes) -> bool:
    from pysequoia.packet import PacketPile

    try:
        return any("Secret" in str(packet.tag) for packet in PacketPile.from_bytes(data))
    except Exception:
        return False


def _check(pgp: Any, cert: Any, name: str) -> None:
    if cert.is_revoked:
        raise Invalid(f"{name}: the key {cert.fingerprint} was revoked; another is expected")
    try:
        pgp.encrypt(b"", recipients=[cert], armor=False)
    except Exception:
        expires = "" if cert.expiration is None else f" (it expires or expired at {cert.expiration:%Y-%m-%dT%H:%MZ})"
        raise Invalid(
            f"{name}: nothing can be encrypted to the key {cert.fingerprint}: it has no subkey for encryption that is valid now{expires}; "
            "prolong it or add one (gpg --edit-key), and export it again"
        ) from None


def fingerprint(public: str) -> str:
    """The fingerprint of an armored public key."""
    return str(_library().Cert.from_bytes(public.encode()).fingerprint)


def encrypt(public: str, data: bytes) -> bytes:
    """A message to the owner of an armored public key; other bytes each time.

    Raises:
        Later: the key can be used no more, until its owner prolongs it.
        Unusable: the extra is missing.
    """
    pgp = _library()
    cert = pgp.Cert.from_bytes(public.encode())
    try:
        return bytes(pgp.encrypt(data, recipients=[cert], armor=False))
    except Exception as error:
        raise Later(
            f"nothing can be encrypted to the account's OpenPGP key {cert.fingerprint} any more ({_said(error)}); it may have expired: "
            "its owner has to prolong it, and its operator to set it anew (shiftlog accounts set --pgp-key)",
            retry_after=3600,
        ) from None


# ── decrypting ──


def decryptor(file: Path | None, ask: Callable[[], str] | None = None) -> Callable[[bytes, str], bytes]:
    """What decrypts a message (bytes, and its name for errors): by a private key in a file, or, without one, by GnuPG and its agent.

    A passphrase comes from the environment, else from `ask`.

    Raises:
        Invalid: the file has no private key that can be used, or the passphrase is not its.
        Unusable: the extra is missing.
    """
    if file is None:
        return _by_gnupg
    pgp = _library()
    try:
        data = file.read_bytes()
    except OSError as error:
        raise Invalid(f"the private key {file} cannot be read: {error.strerror}") from None
    try:
        key = pgp.Tsk.from_bytes(data)
    except Exception as error:
        raise Invalid(f"{file} is no OpenPGP private key ({_said(error)}); gpg --armor --export-secret-keys ID writes one") from None
    if not _is_private(data):
        raise Invalid(f"{file} holds a public key; the private key to it is expected: gpg --armor --export-secret-keys ID")
    opened = _opened(key, file, ask)

    def decrypt(message: bytes, name: str) -> bytes:
        try:
            return bytes(pgp.decrypt(message, decryptor=opened).bytes)
        except Exception as error:
            if "No key to decrypt" in str(error):
                raise Unusable(f"{name} is not encrypted to the key in {file}; the key that the account has is needed") from None
            raise Damaged(f"{name} cannot be decrypted: {_said(error)}") from None

    return decrypt


def _opened(key: Any, file: Path, ask: Callable[[], str] | None) -> Any:
    try:
        return key.decryptor()
    except Exception as error:
        passphrase = os.environ.get(PASSPHRASE)
        if "encrypted" not in _said(error):
            raise Invalid(f"the private key {file} cannot be used: {_said(error)}") from None
        if passphrase is None and ask is None:
            raise Invalid(f"the private key {file} has a passphrase, which is expected in {PASSPHRASE}") from None
    try:
        return key.decryptor(passphrase if passphrase is not None or ask is None else ask())
    except Exception:
        raise Invalid(f"the passphrase is not that of the private key {file}") from None


def _by_gnupg(message: bytes, name: str) -> bytes:
    try:
        done = subprocess.run(["gpg", "--batch", "--quiet", "--decrypt"], input=message, capture_output=True)  # noqa: S607 (the user's own)
    except FileNotFoundError:
        raise Unusable(f"{name} is encrypted, and there is no gpg; install GnuPG, or name a file with the private key: --pgp-key") from None
    if done.returncode == 0:
        return done.stdout
    said = " ".join(done.stderr.decode(errors="replace").split())[:300]
    if "manipulated" in said or "invalid packet" in said or "no valid OpenPGP data" in said:
        raise Damaged(f"{name} cannot be decrypted: {said}")
    raise Unusable(f"{name} cannot be decrypted by gpg: {said}; or name a file with the private key: --pgp-key")


def _said(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _library() -> Any:
    try:
        import pysequoia
    except ModuleNotFoundError:
        raise Unusable("OpenPGP is not installed: pip install 'shiftlog[pgp]'") from None
    return pysequoia
