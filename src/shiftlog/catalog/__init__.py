"""The catalog: the SQL database that says what exists. Nothing is visible until one of its transactions commits.

`connection` opens it; each other module holds the queries of one subject, as functions over a connection.
"""

from shiftlog.catalog.connection import Catalog

__all__ = ["Catalog"]
