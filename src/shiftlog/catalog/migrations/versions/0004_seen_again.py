"""Which published session ids were seen lately, without looking at all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    published = sa.text("scope_start IS NOT NULL")
    columns = ["account", "seen_at"]
    op.create_index(
        op.f("ix_session_ids_account_seen_at"), "session_ids", columns, unique=False, sqlite_where=published, postgresql_where=published
    )
