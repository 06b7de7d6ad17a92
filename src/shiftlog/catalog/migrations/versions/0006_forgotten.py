"""Agents who are forgotten, by a keyed hash of their number; the key of that is the account's."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "forgotten",
        sa.Column("account", sa.String(length=20), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("removed", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("account", "digest", name=op.f("pk_forgotten")),
    )
    op.create_table(
        "doomed",
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("account", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("object_key", name=op.f("pk_doomed")),
    )
    op.add_column("accounts", sa.Column("forgotten", sa.Integer(), server_default="0", nullable=False))
    op.add_column("accounts", sa.Column("erasure_key", sa.Text(), nullable=True))
