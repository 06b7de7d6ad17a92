"""The chain in a lake: kept by pull, proved offline; and a server that changes its past is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from client.lakes import START, at, name, packed, pulled, rows
from client.seed import SeedServer
from client.servers import seed_client, shiftlog_client
from readers import land, publish_at
from scenes import DAY, HOUR, T0, login, logout, sent
from shiftlog import lake
from shiftlog.catalog import chained as catalog_chained
from shiftlog.catalog import tables
from shiftlog.catalog.keys import NewKey
from shiftlog.client import Client, chained
from shiftlog.client.answers import File
from shiftlog.client.verify import verify
from shiftlog.errors import Damaged
from shiftlog.house import House
from shiftlog.retention import sweep

P = tables.parts


@pytest.fixture
def client(house: House, keys: NewKey) -> Iterator[Client]:
    with shiftlog_client(house, keys) as client:
        yield client


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def work(house: House, hour: int) -> None:
    """One session in an hour, and the hour published."""
    start = T0 - 9 * DAY + hour * HOUR
    land(house, sent(login(start), logout(start + 1)))
    publish_at(house, start + 2 * HOUR)


@pytest.fixture
def filled(house: House, client: Client, directory: Path) -> Path:
    """A lake of three parts with their published files."""
    for hour in range(3):
        work(house, hour)
    pulled(client, directory, keep_raw=True)
    return directory


def wrong(directory: Path) -> list[tuple[str, str]]:
    """What is wrong, offline."""
    return [(item.name, item.problem) for item in verify(directory, now=T0).wrong]


def change(directory: Path, how: Callable[[dict], None]) -> None:
    """Change the snapshot by hand."""
    path = directory / lake.SNAPSHOT
    document = json.loads(path.read_bytes())
    how(document)
    path.write_text(json.dumps(document))


def reseal(directory: Path, number: int) -> None:
    """Make the snapshot say of a file and its published file what they are, as one does who has changed them."""

    def how(document: dict) -> None:
        from shiftlog.client.convert import fingerprint

        kept = document["files"][number]
        kept["bytes"], kept["sha256"] = fingerprint(directory / kept["path"])
        kept["source"]["bytes"], kept["source"]["sha256"] = fingerprint(directory / kept["raw"])

    change(directory, how)


def flip(path: Path, place: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def sql(house: House, *statements: sa.Update | sa.Delete) -> None:
    with house.catalog.write() as conn:
        for statement in statements:
            conn.execute(statement)


# ── pulling ──


def test_a_pull_keeps_the_chain(house: House, client: Client, filled: Path):
    """All of it, the first key, and the head; the next one goes on."""
    snapshot = lake.read(filled)
    shown = chained.read(filled, snapshot)
    with house.catalog.read() as conn:
        [key] = catalog_chained.keys(conn, "A")
    assert (snapshot.chain.pinned, snapshot.chain.head.sequence, sorted(shown.parts)) == (key.public, 3, [1, 2, 3])
    work(house, 3)
    pulled(client, filled)
    assert sorted(chained.read(filled, lake.read(filled)).parts) == [1, 2, 3, 4]
    assert wrong(filled) == []


def test_what_a_killed_pull_has_written_does_not_count(house: House, client: Client, filled: Path):
    """Lines that the checkpoint does not know are written over."""
    with (filled / lake.CHAIN).open("ab") as file:
        file.write(b'{"torn')
    work(house, 3)
    pulled(client, filled)
    assert wrong(filled) == []


def test_a_lake_from_before_the_chain_gets_it(client: Client, filled: Path):
    """From its beginning, with the next pull."""
    change(filled, lambda document: document.pop("chain"))
    (filled / lake.CHAIN).unlink()
    pulled(client, filled)
    assert (lake.read(filled).chain.head.sequence, wrong(filled)) == (3, [])


def test_a_server_without_manifest_has_no_chain(directory: Path, tmp_path: Path):
    """And is pulled from as ever."""
    server = SeedServer(tmp_path / "published")
    server.add(str(name()), packed(rows(("1", 2))), START + HOUR)
    with seed_client(server) as client:
        assert pulled(client, directory, now=START + DAY).new == 1
    assert (lake.read(directory).chain, wrong(directory)) == (None, [])


def test_a_new_key_that_the_old_one_signed_is_followed(house: House, client: Client, filled: Path):
    """Without a word; the pinned key stays."""
    pinned = lake.read(filled).chain.pinned
    with house.catalog.write() as conn:
        catalog_chained.rotate(conn, house.vault, "A", T0)
    work(house, 3)
    pulled(client, filled)
    assert (lake.read(filled).chain.pinned, len(lake.read(filled).chain.keys), wrong(filled)) == (pinned, 2, [])


def fork(house: House) -> None:
    """Another part 2, and all that follows chained and signed anew by who has the key."""
    with house.catalog.write() as conn:
        conn.execute(sa.update(P).where(P.c.seq == 2).values(gz_sha256="e" * 64))
        rechain(conn, house)


def rechain(conn: sa.Connection, house: House) -> None:
    from shiftlog import chain
    from shiftlog.catalog import parts

    previous = chain.START
    for part in parts.manifest(conn, "A", now=2 * T0, after=0, limit=100):
        previous = chain.link("A", previous, catalog_chained.facts(part, part.seq))
        conn.execute(sa.update(P).where(P.c.seq == part.seq).values(link=previous))
    signer = catalog_chained.signer(conn, house.vault, "A", T0)
    for seq in conn.scalars(sa.select(P.c.seq)).all():
        catalog_chained.sign_head(conn, signer, seq)


def replace_key(house: House) -> None:
    """Another key that the first has not signed, and everything signed with it."""
    with house.catalog.write() as conn:
        conn.execute(sa.delete(tables.signing_keys))
        rechain(conn, house)


def truncate(house: House) -> None:
    sql(house, sa.delete(P).where(P.c.seq > 1), sa.update(tables.accounts).values(last_seq=1))


def unchain(house: House) -> None:
    sql(house, sa.update(P).values(signature=None))


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (fork, "does not follow in the chain|has another last link"),
        (replace_key, "which is not among its keys any more"),
        (truncate, "reaches to part 1; it reached to part 3"),
        (unchain, "reaches nowhere"),
    ],
)
@pytest.mark.parametrize("goes_on", [False, True])
def test_a_server_that_changes_its_past_is_refused(
    house: House, client: Client, filled: Path, attack: Callable[[House], None], said: str, goes_on: bool
):
    """Whether or not something new was published on top of it; the lake stays as it was."""
    if goes_on and attack in (truncate, unchain):
        pytest.skip("it shows less than before")
    before = {path: path.read_bytes() for path in filled.rglob("*") if path.is_file()}
    attack(house)
    if goes_on:
        work(house, 3)
    with pytest.raises(Damaged, match=said):
        pulled(client, filled)
    assert {path: path.read_bytes() for path in filled.rglob("*") if path.is_file() and path.name != "lake.lock"} == {
        path: data for path, data in before.items() if path.name != "lake.lock"
    }


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"gz_sha256": "e" * 64}, "part 2 of A, does not follow"),
        ({"events": 7}, "part 2 of A, does not follow"),
        ({"link": "e" * 64}, "part 2 of A, does not follow"),
        ({"seq": 9}, "part 2 of A is missing in the chain"),
        ({"gz_gone": 5, "removed_reason": "retention", "removed_by": "k", "removed_signature": "00"}, "is not to be trusted"),
    ],
)
def test_a_changed_catalog_is_not_taken_from(house: House, client: Client, directory: Path, values: dict, said: str):
    """The first part that is not as it was is named, and nothing is pulled."""
    for hour in range(3):
        work(house, hour)
    sql(house, sa.update(P).where(P.c.seq == 2).values(values))
    with pytest.raises(Damaged, match=said):
        pulled(client, directory)
    assert lake.read(directory).files == ()


def test_a_deletion_that_nobody_signed_is_no_excuse(house: House, client: Client, directory: Path):
    """The part is missing in the lake."""
    for hour in range(3):
        work(house, hour)
    sql(house, sa.update(P).where(P.c.seq == 2).values(gz_gone=5))
    assert pulled(client, directory).new == 2
    assert ["was removed: the signed chain has it" in said for _, said in wrong(directory)] == [True]


def test_a_part_that_is_listed_and_not_in_the_chain_is_refused(house: House, client: Client, directory: Path):
    """Put in after the signed head."""
    work(house, 0)
    with house.catalog.write() as conn:
        [row] = conn.execute(sa.select(P)).mappings()
        conn.execute(sa.insert(P).values({**row, "seq": 2, "revision": 7, "signature": None}))
    with pytest.raises(Damaged, match="part 2 of A, does not follow"):
        pulled(client, directory)


def test_a_list_that_knows_more_than_the_chain_is_refused(house: House, client: Client, directory: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing of it is taken."""
    work(house, 0)
    listed = client.list
    more = File(name(3), client.href(name(3)))
    monkeypatch.setattr(client, "list", lambda *window: replace(listed(*window), files=[*listed(*window).files, more]))
    with pytest.raises(Damaged, match="which its chain has not"):
        pulled(client, directory)
    assert lake.read(directory).files == ()


# ── offline ──


def test_a_flipped_byte_is_named(filled: Path):
    """Of an events file and of a published one, also where the snapshot was changed with it."""
    [first, second, _] = lake.read(filled).files
    flip(filled / second.raw)
    assert [name for name, _ in wrong(filled)] == [second.name]
    reseal(filled, 1)
    assert second.name in [name for name, said in wrong(filled) if "signed chain" in said]
    flip(filled / first.path, 200)
    assert first.name in [name for name, _ in wrong(filled)]


def test_other_events_with_a_snapshot_to_match_are_named(filled: Path):
    """Where the published file is kept, the events are compared with it."""
    import polars as pl

    from shiftlog.client import convert

    [first, *_] = lake.read(filled).files
    frame = convert.rows(filled / first.path)
    convert.write(frame.with_columns(timestamp=pl.col("timestamp") - 60_000), filled / first.path)
    reseal(filled, 0)
    assert [(name, "other rows" in said) for name, said in wrong(filled)] == [(first.name, True)]


def test_a_removed_file_is_named(filled: Path):
    """Also where the snapshot has it no more."""
    second = lake.read(filled).files[1]
    (filled / second.path).unlink()
    assert second.name in [name for name, _ in wrong(filled)]
    (filled / second.raw).unlink()
    change(filled, lambda document: document["files"].pop(1))
    assert [(name, "was removed" in said) for name, said in wrong(filled)] == [(second.name, True)]


def test_an_added_file_is_named(filled: Path):
    """Also where the snapshot has it."""
    from shiftlog.names import PartName

    second = lake.read(filled).files[1]
    other = PartName.parse(second.name.replace("-0", "-1").replace("part-10000", "part-00000"))
    paths = [filled / lake.events_path("A", other, 0), filled / lake.raw_path("A", other)]
    for path, source in zip(paths, (second.path, second.raw), strict=True):
        path.write_bytes((filled / source).read_bytes())
    assert sorted(said for _, said in wrong(filled)) == sorted(
        f"{path} is not a file of this lake; a plain glob counts it" for path in paths
    )
    fields = {"name": str(other), "path": lake.events_path("A", other, 0), "raw": lake.raw_path("A", other)}
    change(filled, lambda document: document["files"].append({**document["files"][1], **fields}))
    assert (str(other), True) in [(name, "was added" in said) for name, said in wrong(filled)]


def lines(directory: Path, how: Callable[[list[bytes]], list[bytes]]) -> None:
    """Change the kept chain by hand, and what the checkpoint says of its length."""
    path = directory / lake.CHAIN
    text = b"".join(line + b"\n" for line in how(path.read_bytes().splitlines()))
    path.write_bytes(text)
    change(directory, lambda document: document["chain"].update(bytes=len(text)))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda rows: [rows[0], rows[1].replace(b'"events":2', b'"events":3'), rows[2]], "part 2 of A, does not follow"),
        (lambda rows: [rows[0], rows[2]], "part 2 of A is missing"),
        (lambda rows: rows[:2], "the signed head is that of part 3"),
        (
            lambda rows: [rows[0].replace(b'"sequence":1', b'"sequence":2'), rows[1].replace(b'"sequence":2', b'"sequence":1'), rows[2]],
            "follow",
        ),
        (lambda rows: [rows[0], b"{", rows[2]], "is not a chain"),
    ],
)
def test_a_kept_chain_that_was_changed_is_named(client: Client, filled: Path, how: Callable[[list[bytes]], list[bytes]], said: str):
    """A row edited, taken out, cut off at the end, moved; a repair has the server show it again."""
    lines(filled, how)
    assert any(said in problem for _, problem in wrong(filled))
    pulled(client, filled, repair=True)
    assert wrong(filled) == []


def test_a_lost_chain_comes_again(client: Client, filled: Path):
    """And has to end where the checkpoint says."""
    (filled / lake.CHAIN).unlink()
    with pytest.raises(Damaged, match=r"chain\.jsonl is not there"):
        pulled(client, filled)
    pulled(client, filled, repair=True)
    assert wrong(filled) == []


def test_a_replaced_key_is_named(filled: Path):
    """Another that signs everything again is not the pinned one."""
    from shiftlog import chain

    private, public = chain.new_key()

    def how(document: dict) -> None:
        head = document["chain"]["head"]
        signature = chain.sign(private, chain.head("A", head["sequence"], head["link"]))
        document["chain"]["head"] = {**head, "key": chain.key_id(public), "signature": signature}

    change(filled, how)
    assert ["is not to be trusted" in said for _, said in wrong(filled)] == [True]


def test_what_retention_deleted_before_the_first_pull_is_not_missing(house: House, client: Client, directory: Path):
    """The server has signed why."""
    work(house, 0)
    later = at(house, house.catalog.now() + 40 * DAY)
    sweep(later)
    work(house, 1)
    assert pulled(client, directory).new == 1
    shown = chained.read(directory, lake.read(directory))
    assert [None if part.removed is None else part.removed.reason for part in shown.parts.values()] == ["retention", None]
    assert wrong(directory) == []


def test_rows_stay_as_the_manifest_had_them(filled: Path, client: Client):
    """One line a part."""
    kept = msgspec.json.decode((filled / lake.CHAIN).read_bytes().splitlines()[0])
    assert kept["link"] == client.manifest().parts[0].link
