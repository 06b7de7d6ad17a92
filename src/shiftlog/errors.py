"""Every error that shiftlog raises on purpose, in one tree whose branches are what the receiver should do.

    ShiftlogError
    ├── Invalid            the caller's input is wrong: change it and send again
    │   ├── BadEvent       one event of a request; names the place, the field, what was found and what is allowed
    │   ├── TooLarge       past a limit: send less
    │   └── Unsupported    a media type, method or form that is not spoken here
    ├── Denied             not let in
    │   ├── Unauthorized   no key, a wrong key, a bad, stale or repeated signature
    │   └── Forbidden      a good key without the permission
    ├── Missing            not there
    │   └── NoFiles        the asked range holds no files (the seed's "No Available Files")
    ├── Gone               was there, and was deleted when its retention ended
    ├── Damaged            bytes that are not what they should be; names file, line and byte
    ├── Later              nothing wrong with the request: try again
    │   ├── Taken          another worker is at it: leave it to that one
    │   ├── Overtaken      another worker has taken this one's lease; nothing was changed
    │   ├── TooMany        more often, or more at once, than is allowed: wait
    │   └── TooSlow        the other side sent, or took, too slowly
    └── Unusable           this deployment cannot work as it is set up: an operator has to act

`server.problems` maps the branches to HTTP status codes, `cli` to exit codes; nobody else does.
"""

from __future__ import annotations


class ShiftlogError(Exception):
    """The root. The message says what was found, what is allowed, and what to do next."""


class Invalid(ShiftlogError):
    """The caller's input is wrong."""


class BadEvent(Invalid):
    """One event is wrong; nothing of its request was taken."""

    def __init__(self, where: str, field: str, found: str, allowed: str) -> None:
        self.where, self.field, self.found, self.allowed = where, field, found, allowed
        place = f"{where}: {field}" if field else where
        super().__init__(f"{place}: found {found}; allowed: {allowed}")


class TooLarge(Invalid):
    """Past a limit."""


class Unsupported(Invalid):
    """A form that is not spoken here."""


class Denied(ShiftlogError):
    """Not let in."""


class Unauthorized(Denied):
    """Who asks is not known, or cannot prove it."""


class Forbidden(Denied):
    """Who asks is known, and has not this permission."""


class Missing(ShiftlogError):
    """Not there."""


class NoFiles(Missing):
    """The asked range holds no files."""


class Gone(ShiftlogError):
    """Was there, and was deleted on purpose."""


class Damaged(ShiftlogError):
    """Bytes that are not what they should be."""


class Later(ShiftlogError):
    """Try again, after `retry_after` seconds where it is known."""

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class Taken(Later):
    """Another worker holds the lease, and is at it."""


class Overtaken(Later):
    """Another worker holds the lease now; nothing was changed."""


class TooMany(Later):
    """More often, or more at once, than is allowed; nothing was taken."""


class TooSlow(Later):
    """The other side sent, or took, too slowly, and was not waited for any longer."""


class Unusable(ShiftlogError):
    """An operator has to act: a directory that cannot be written, a newer version's data, a missing extra."""
