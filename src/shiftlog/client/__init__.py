"""The other side of the API: a client, and a lake that it keeps complete. Against shiftlog, and against the original service.

`profile` says where and as whom, `auth` signs, `patience` tries again, `http` asks, `download` fetches a file, `checkpoint`
says what to ask for next, `writer` makes a lake of it, `pull` does all of that, and `verify` proves it.
"""

from shiftlog.client.http import Client
from shiftlog.client.profile import Profile

__all__ = ["Client", "Profile"]
