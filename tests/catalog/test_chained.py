"""The chain in the catalog: made with each commit, and over what was there before."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from catalog.contract import HOUR, NOW, VAULT, CatalogContract, OnPostgresql, OnSqlite, insert_parts, make_account, part_row
from catalog.test_migrate import upgrade
from catalog.test_publishing import new_part, publish
from shiftlog import chain
from shiftlog.catalog import Catalog, chained, parts, tables
from shiftlog.catalog.parts import Part
from shiftlog.errors import Missing


def whole(catalog: Catalog, account: str = "A") -> list[Part]:
    with catalog.read() as conn:
        return list(parts.manifest(conn, account, now=2 * NOW, after=0, limit=1_000))


def check(catalog: Catalog, account: str = "A") -> int:
    """Follow the chain to its head; how long it is."""
    previous = chain.START
    found = whole(catalog, account)
    for part in found:
        previous = chain.link(account, previous, chained.facts(part, part.seq))
        assert part.link == previous
    with catalog.read() as conn:
        head, known = chained.head(conn, account, 2 * NOW), chain.trusted(account, chained.keys(conn, account), None)
    assert (head.sequence, head.link) == (len(found), previous)
    chain.check(known, head.key, chain.head(account, head.sequence, head.link), head.signature, "the head")
    return len(found)


class ChainedContract(CatalogContract):
    """Links, heads and keys."""

    def test_every_commit_goes_on_with_the_chain(self, catalog: Catalog, account: str):
        """And signs how far it reaches; a run without parts changes nothing."""
        publish(catalog, new_part(0), new_part(0, part=1))
        publish(catalog)
        publish(catalog, new_part(HOUR))
        assert check(catalog) == 3
        with catalog.read() as conn:
            t = tables.parts
            assert list(conn.scalars(sa.select(t.c.seq).where(t.c.signature.is_not(None)).order_by(t.c.seq))) == [2, 3]

    def test_accounts_have_chains_of_their_own(self, catalog: Catalog, account: str):
        """And keys."""
        make_account(catalog, "B")
        publish(catalog, new_part(0))
        with catalog.write() as conn:
            assert chained.keys(conn, "B") == []
            assert chained.signer(conn, VAULT, "B", NOW).key != chained.keys(conn, "A")[0].id

    def test_a_new_key_is_signed_by_the_one_before(self, catalog: Catalog, account: str):
        """And signs from then on; what the old one signed is good."""
        publish(catalog, new_part(0))
        with catalog.write() as conn:
            second = chained.rotate(conn, VAULT, "A", NOW)
            chained.rotate(conn, VAULT, "A", NOW)
        publish(catalog, new_part(HOUR))
        assert check(catalog) == 2
        with catalog.read() as conn:
            first, *others = chained.keys(conn, "A")
            assert (others[0], len(others)) == (second, 2)
            assert chained.head(conn, "A", 2 * NOW).key == others[-1].id
            assert list(chain.trusted("A", [first, *others], first.public)) == [first.id, *(key.id for key in others)]

    def test_only_accounts_have_keys(self, catalog: Catalog):
        """Others are not there."""
        with pytest.raises(Missing), catalog.write() as conn:
            chained.rotate(conn, VAULT, "nobody", NOW)

    def test_private_keys_are_never_shown(self, catalog: Catalog, account: str):
        """Nor do they lie open in the catalog."""
        with catalog.write() as conn:
            signer = chained.signer(conn, VAULT, "A", NOW)
            assert signer.private not in repr(signer)
            assert VAULT.decrypt(conn.scalar(sa.select(tables.signing_keys.c.private))) == signer.private

    def test_parts_from_before_the_chain_get_it(self, nothing: str):
        """The migration links them, and whoever has the secret key signs, also why files are gone."""
        engine = sa.create_engine(nothing)
        upgrade(engine, "0004")
        old = sa.MetaData()
        old.reflect(engine)
        rows = [part_row("A", seq, NOW, gz_gone=NOW if seq == 1 else None) for seq in (2, 1, 3)] + [part_row("B", 1, NOW)]
        with engine.begin() as conn:
            for row in rows:
                t = old.tables["parts"]
                conn.execute(sa.insert(t).values({name: value for name, value in row.items() if name in t.c}))
        engine.dispose()
        catalog = Catalog.open(nothing)
        for account, last in (("A", 3), ("B", 1), ("C", 0)):
            make_account(catalog, account)
            with catalog.write() as conn:
                conn.execute(sa.update(tables.accounts).where(tables.accounts.c.account == account).values(last_seq=last))
        with catalog.write() as conn:
            assert sorted(chained.unsigned(conn)) == ["A", "B"]
            for account in chained.unsigned(conn):
                chained.complete(conn, VAULT, account, NOW)
            assert chained.unsigned(conn) == []
        assert (check(catalog), check(catalog, "B")) == (3, 1)
        assert [part.removed_reason for part in whole(catalog)] == ["retention", None, None]
        catalog.close()

    def test_what_an_older_server_has_published_is_linked_by_the_next(self, catalog: Catalog, account: str):
        """While servers are upgraded one by one."""
        publish(catalog, new_part(0))
        publish(catalog, new_part(HOUR))
        publish(catalog, new_part(2 * HOUR))
        with catalog.write() as conn:
            t = tables.parts
            conn.execute(sa.update(t).where(t.c.seq > 1).values(link=None, signature=None, signed_by=None))
        publish(catalog, new_part(3 * HOUR))
        assert check(catalog) == 4
        with catalog.write() as conn:
            conn.execute(sa.update(t).where(t.c.seq > 2).values(link=None, signature=None, signed_by=None))
            [left] = chained.unsigned(conn)
            chained.complete(conn, VAULT, left, NOW)
        assert check(catalog) == 4

    def test_removals_are_signed_once(self, catalog: Catalog, account: str):
        """With their reason and when it was."""
        publish(catalog, new_part(0), new_part(HOUR))
        with catalog.write() as conn:
            conn.execute(sa.update(tables.parts).where(tables.parts.c.seq == 1).values(gz_gone=NOW))
            assert [chained.sign_removals(conn, VAULT, "A", chain.ERASURE, NOW) for _ in range(2)] == [1, 0]
            assert chained.erased(conn, "A", NOW + 1) == 1
        [gone, _] = whole(catalog)
        with catalog.read() as conn:
            known = chain.trusted("A", chained.keys(conn, "A"), None)
        said = chain.removal("A", 1, gone.link, "erasure", NOW)
        chain.check(known, gone.removed_by, said, gone.removed_signature, "the removal")

    def test_a_head_is_visible_with_its_parts(self, catalog: Catalog, account: str):
        """Not before their generated time."""
        insert_parts(catalog, [part_row("A", 1, NOW, signature="s", signed_by="k")])
        with catalog.read() as conn:
            assert chained.head(conn, "A", NOW) is None
            assert chained.head(conn, "A", NOW + 1).sequence == 1


class TestChainedOnPostgresql(OnPostgresql, ChainedContract):
    """On PostgreSQL."""


class TestChainedOnSqlite(OnSqlite, ChainedContract):
    """On SQLite."""
