"""Part names and account names: a text is a value, and every other text is refused."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shiftlog.errors import Invalid
from shiftlog.names import SUFFIXES, PartName, check_account, split_suffix

_instants = st.integers(0, 10**15)
names = st.builds(
    lambda start, length, part, revision: PartName(start, start + length, part, revision),
    _instants,
    st.integers(1, 10**9),
    st.integers(0, 999_999_999),
    st.integers(0, 999_999_999),
)
SEED = "Agent.1461387600000.1461391200000.part-00001-0"


@given(names)
def test_a_name_comes_back_from_its_text(name: PartName):
    """Writing and parsing a part name gives the same value."""
    assert PartName.parse(str(name)) == name


@given(st.from_regex(r"Agent\.[0-9]{1,14}\.[0-9]{1,14}\.part-[0-9]{5,7}-[0-9]{1,3}", fullmatch=True))
def test_a_text_that_is_parsed_is_written_the_same(text: str):
    """No two texts are one name: what parse accepts is what str writes, letter for letter."""
    try:
        name = PartName.parse(text)
    except Invalid:
        assume(False)
    assert str(name) == text


def test_the_seeds_names_are_read():
    """The first name of the seed's list, by its parts."""
    assert PartName.parse(SEED) == PartName(1461387600000, 1461391200000, 1, 0)


@pytest.mark.parametrize("number", [100_000, 999_999, 1_000_000])
def test_part_numbers_get_wider(number: int):
    """Past five digits the number is written whole."""
    assert str(PartName(0, 1, number, 12)) == f"Agent.0.1.part-{number}-12"
    assert PartName.parse(f"Agent.0.1.part-{number}-12").part == number


@given(st.lists(names, min_size=2, max_size=5))
def test_names_stand_in_the_order_of_numbers(some: list[PartName]):
    """By start, end, part and revision as numbers, so that revision 10 comes after 9."""
    assert sorted(some) == sorted(some, key=lambda n: (n.start, n.end, n.part, n.revision))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Agent",
        "..",
        "../Agent.0.1.part-00000-0",
        "Agent.0.1.part-00000-0/..",
        "Agent.0.1.part-00000-..",
        "Agent.0.1.part-00000-0\n",
        " Agent.0.1.part-00000-0",
        "agent.0.1.part-00000-0",
        "WebSession.0.1.part-00000-0",
        "Agent.00.1.part-00000-0",
        "Agent.0.01.part-00000-0",
        "Agent.0.1.part-000000-0",
        "Agent.0.1.part-012345-0",
        "Agent.0.1.part-0000-0",
        "Agent.0.1.part-00000-00",
        "Agent.0.1.part-00000-",
        "Agent.-1.1.part-00000-0",
        "Agent.+0.1.part-00000-0",
        "Agent.0.1.part-00000--1",
        "Agent.0.1e3.part-00000-0",
        "Agent.0.1.part-0000\N{ARABIC-INDIC DIGIT ONE}-0",
        "Agent.1\N{ARABIC-INDIC DIGIT TWO}.13.part-00000-0",
        "Agent.0.1\N{FULLWIDTH DIGIT ONE}.part-00000-0",
        "Agent.0.1.part-\N{MATHEMATICAL BOLD DIGIT ZERO}0000-0",
        f"Agent.0.{10**16}.part-00000-0",
        f"Agent.0.1.part-{10**9}-0",
        f"Agent.0.1.part-00000-{10**9}",
        "Agent.0.1.part-" + "9" * 100_000 + "-0",
    ],
)
def test_other_names_are_refused(text: str):
    """Paths, other digits than 0 to 9, leading zeros, signs, white space, and numbers that no part has."""
    with pytest.raises(Invalid, match="is not a part name; Agent") as refusal:
        PartName.parse(text)
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize(("start", "end"), [(5, 5), (5, 4)])
def test_a_scope_ends_after_its_start(start: int, end: int):
    """An empty or reversed scope is no name."""
    with pytest.raises(Invalid, match=f"ends at {end}, not after its start {start}"):
        PartName.parse(f"Agent.{start}.{end}.part-00000-0")


@given(names, st.sampled_from(SUFFIXES))
def test_a_suffix_says_the_form(name: PartName, suffix: str):
    """Every form that is served is asked for by its suffix."""
    assert split_suffix(f"{name}.{suffix}") == (name, suffix)


@given(names)
def test_no_suffix_means_gz(name: PartName):
    """The seed has links with and without it."""
    assert split_suffix(str(name)) == (name, "gz")


@pytest.mark.parametrize("suffix", [".", ".GZ", ".gz.gz", ".json", ".gz/..", "gz"])
def test_other_suffixes_are_refused(suffix: str):
    """One suffix at most, and only those that are served."""
    with pytest.raises(Invalid):
        split_suffix(SEED + suffix)


@given(st.from_regex(r"[A-Za-z0-9_]{1,20}", fullmatch=True))
def test_an_account_is_its_own_name(text: str):
    """Letters, digits and underscores, up to 20."""
    assert check_account(text) == text


@pytest.mark.parametrize("text", ["", "a" * 21, "a-b", "a.b", "..", "a/b", "a b", "A\n", "ä", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_other_accounts_are_refused(text: str):
    """With what was found and what is allowed."""
    with pytest.raises(Invalid, match="is not an account; 1 to 20 letters, digits and underscores are allowed"):
        check_account(text)
