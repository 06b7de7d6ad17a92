"""What services answer when they do not do what was asked, as our errors: what was found, and what to do.

obstore tells it as text, which may hold what is nobody's business: of it only status, code and reason are passed on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shiftlog.errors import Later, ShiftlogError, Unusable

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>|\"reason\": ?\"(\w{1,60})\"")
_REASONS = {  # of what never became an answer
    "Connection refused": "the connection was refused",
    "dns error": "there is no such host",
    "UnknownIssuer": "its certificate is not trusted here",
    "NotValidForName": "its certificate is of another host",
    "CertExpired": "its certificate has expired",
    "Expired": "its certificate has expired",
    "InvalidContentType": "it does not speak TLS; is it http://?",
    "Timeout": "it did not answer in time",
    "TimedOut": "it did not answer in time",
}
_ROLES = re.compile(r"performing \w+ \S+/(latest/(api|meta-data)|computeMetadata|metadata/identity)")
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist|container does not exist", re.IGNORECASE)
_BUSY = {408, 425, 429, 500, 502, 503, 504}
_CONFLICTS = {"ConditionalRequestConflict", "OperationAborted"}
_AGAIN = 5  # seconds


@dataclass(frozen=True, slots=True)
class Hints:
    """What an operator can do, in the words of the service at hand: the variables of its keys, its region, its address."""

    keys: str
    region: str
    address: str


def understood(error: Exception, label: str, hints: Hints) -> ShiftlogError:
    """The error that obstore's means."""
    text = str(error)
    if _ROLES.search(text):
        return Unusable(f"{label}: found no key, and no role of this machine; {hints.keys}")
    found = _STATUS.search(text)
    if found is None:
        reason = next((words for sign, words in _REASONS.items() if sign in text), "the connection failed")
        return Later(f"{label} does not answer: {reason}", retry_after=_AGAIN)
    status, code = int(found[1]), _code(text)
    answer = f"{label} answered {status}{f' {code}' if code else ''}"
    if status in _BUSY or code in _CONFLICTS:
        return Later(f"{answer}; it is busy or in trouble", retry_after=_AGAIN)
    return Unusable(f"{answer}: {_advice(status, code, text, hints)}")


def at_start(error: ShiftlogError, hints: Hints) -> Unusable:
    """The same where nothing has begun: whoever starts it looks at the message."""
    advice = f"; is that where it is? {hints.address}. If it is, try again" if isinstance(error, Later) else ""
    return Unusable(f"{error}{advice}")


def is_bucket_missing(error: Exception) -> bool:
    """Whether it is the bucket that is not there, and not an object in it."""
    return bool(_NO_BUCKET.search(str(error)))


def is_not_offered(error: Exception) -> bool:
    """Whether the service does not know conditional puts."""
    from obstore.exceptions import NotSupportedError

    text = str(error)
    return isinstance(error, NotSupportedError) or "NotImplemented" in text or "status code: 501" in text


def _code(text: str) -> str:
    found = _CODE.search(text)
    return (found[1] or found[2]) if found else ""


def _advice(status: int, code: str, text: str, hints: Hints) -> str:
    if code == "RequestTimeTooSkewed":
        return "the clocks of this machine and of the service differ; set them right"
    if _NO_BUCKET.search(text):
        return "there is no such bucket; make it, or correct the store's URL"
    if status in (301, 307) or code in ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"):
        return f"the bucket lies in another region; {hints.region}"
    if code == "AccessDenied":
        return "the key may not do this; it has to read, write, delete and list objects there"
    if status in (401, 403):
        return f"the key is refused; {hints.keys}"
    return f"what was asked is not done there; {hints.address}"
