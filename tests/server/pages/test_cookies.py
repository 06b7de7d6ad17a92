"""Cookies: only what we signed, and only as long as it holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shiftlog.server.pages.cookies import Ticket, form_token, is_form_token, read, write

SECRET = b"s" * 32
TICKET = Ticket(7, 2_000, "0" * 32)

tickets = st.builds(Ticket.new, st.integers(0, 10**15), st.integers(1, 10**17))


@given(ticket=tickets)
def test_a_ticket_comes_back_until_it_ends(ticket: Ticket) -> None:
    """What was written is read, and not a millisecond too long."""
    text = write(ticket, SECRET)
    assert read(text, SECRET, ticket.expires - 1) == ticket
    assert read(text, SECRET, ticket.expires) is None


@given(text=st.text(max_size=200))
def test_any_other_text_is_no_ticket(text: str) -> None:
    """Whatever a browser sends, it is no error."""
    assert read(text, SECRET, 0) is None


@given(place=st.integers(0, 200), letter=st.sampled_from("0123456789abcdef."))
def test_a_changed_ticket_is_none(place: int, letter: str) -> None:
    """Nobody can make it last longer, or be of another key."""
    text = write(TICKET, SECRET)
    place %= len(text)
    changed = text[:place] + letter + text[place + 1 :]
    assert changed == text or read(changed, SECRET, 0) is None


def test_another_secret_reads_nothing() -> None:
    """Another deployment's cookie signs nobody in."""
    assert read(write(TICKET, SECRET), b"t" * 32, 0) is None


def test_a_form_token_is_of_one_sign_in() -> None:
    """Two sign-ins of one key have different tokens, and a cookie's signature is no token."""
    other = Ticket(7, 2_000, "1" * 32)
    assert is_form_token(form_token(TICKET, SECRET), TICKET, SECRET)
    assert not is_form_token(form_token(other, SECRET), TICKET, SECRET)
    assert not is_form_token(write(TICKET, SECRET).rpartition(".")[2], TICKET, SECRET)
