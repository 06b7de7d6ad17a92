"""Bytes by key: in a directory, in memory, or in a bucket of S3, Google Cloud Storage or Azure, over obstore.

Keys are relative paths with `/`. Objects are written whole or not at all, and never written twice: every writer uses a
key of its own. What exists is the catalog's to say; listing is for garbage collection only.
"""

from shiftlog.store.bucket import Bucket
from shiftlog.store.directory import Directory
from shiftlog.store.objects import Memory, Object, Store, scan
from shiftlog.store.places import open_store

__all__ = ["Bucket", "Directory", "Memory", "Object", "Store", "open_store", "scan"]
