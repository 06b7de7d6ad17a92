"""A chain over the parts, those that are there already as well. It is signed when the deployment is opened, by who has the secret key."""

import sqlalchemy as sa
from alembic import op

from shiftlog import chain

revision = "0005"
down_revision = "0004"

_SAID = "seq, scope_start, scope_end, part, revision, schema_version, gz_bytes, gz_sha256, twin_sha256, sessions, withdrawals, events"


def upgrade() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("account", sa.String(length=20), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("public", sa.String(length=64), nullable=False),
        sa.Column("private", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("signed_by", sa.String(length=16), nullable=True),
        sa.Column("signature", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("account", "number", name=op.f("pk_signing_keys")),
    )
    op.add_column("parts", sa.Column("link", sa.String(length=64), nullable=True))
    op.add_column("parts", sa.Column("signed_by", sa.String(length=16), nullable=True))
    op.add_column("parts", sa.Column("signature", sa.String(length=128), nullable=True))
    op.add_column("parts", sa.Column("removed_reason", sa.String(length=16), nullable=True))
    op.add_column("parts", sa.Column("removed_by", sa.String(length=16), nullable=True))
    op.add_column("parts", sa.Column("removed_signature", sa.String(length=128), nullable=True))
    conn = op.get_bind()
    for account in conn.scalars(sa.text("SELECT DISTINCT account FROM parts")).all():
        _chain(conn, account)


def _chain(conn: sa.Connection, account: str) -> None:
    query = sa.text(f"SELECT {_SAID}, min_timestamp, max_timestamp FROM parts WHERE account = :account ORDER BY seq")  # noqa: S608 (constant)
    rows, previous = [], chain.START
    for seq, start, end, part, number, *said in conn.execute(query, {"account": account}).all():
        previous = chain.link(account, previous, chain.Facts(seq, f"Agent.{start}.{end}.part-{part:05d}-{number}", *said))
        rows.append({"account": account, "seq": seq, "link": previous})
    conn.execute(sa.text("UPDATE parts SET link = :link WHERE account = :account AND seq = :seq"), rows)
