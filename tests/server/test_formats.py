"""Which form an answer has, and that JSON and XML say the same."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftlog.server import formats, shapes
from shiftlog.server.formats import BOTH, JSON, TEXT_XML, XML, choose


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("application/json; charset=utf-8", JSON),
        ("application/*", JSON),
        ("application/xml", XML),
        ("text/xml", TEXT_XML),
        ("text/*", TEXT_XML),
        ("APPLICATION/XML", XML),
        ("application/xml, application/json", JSON),
        ("application/xml, application/json;q=0.9", XML),
        ("application/json;q=0, */*", XML),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", XML),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", JSON),
        ("application/json;q=1.", JSON),
        ("text/csv", None),
        ("application/json;q=0", None),
        ("application/json;q=much", None),
        ("nonsense", None),
    ],
)
def test_the_preferred_form_is_chosen(accept: str, chosen: str | None):
    """The highest weight wins, the most specific range counts, and JSON comes before XML."""
    assert choose(accept, BOTH) == chosen


@given(st.text())
def test_any_accept_header_gets_a_decision(accept: str):
    """Whatever a client sends, it is understood or refused."""
    assert choose(accept, BOTH) in (*BOTH, None)


def test_xml_has_attributes_for_at_signs_and_elements_for_the_rest():
    """A list in XML is the list in JSON, `@` members as attributes."""
    file = [shapes.File(f"n{i}", "a", "b", "http://x/?a=1&b=2") for i in range(2)]
    text = formats.xml(shapes.FileList(shapes.Files("A", shapes.Link("h", "self"), file)))
    root = ElementTree.fromstring(text)
    assert (root.tag, root.attrib) == ("dataAccessFiles", {"id": "A"})
    assert [child.tag for child in root] == ["link", "file", "file"]
    assert root[1].attrib == {"name": "n0", "scopeStartDate": "a", "scopeEndDate": "b", "href": "http://x/?a=1&b=2"}


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_any_message_can_be_written_in_xml(message: str):
    """What XML has no way to write is replaced, and all else comes out as it went in."""
    root = ElementTree.fromstring(formats.xml(shapes.Error(shapes.Problem("now", message, 1))))
    found = root.findtext("message") or ""
    writable = formats._UNWRITABLE.sub("\ufffd", message)
    assert found == writable.replace("\r\n", "\n").replace("\r", "\n")
