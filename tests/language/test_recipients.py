"""Mail addresses: one is one, names are only names, and what is written reads back the same."""

from __future__ import annotations

import pytest

from engine.language.recipients import Mailbox, NotAnAddress, checked_address, clean_name


@pytest.mark.parametrize(
    "text",
    [
        "ana@example.test", "a.b+c@x.test", "o'hara@x.test", "jörg@example.test", "info@bücher.test", "root@localhost",
        "ops@mail.local", "a@xn--bcher-kva.test", "A@X.TEST", "用户@例子.测试",
    ],
)  # fmt: skip
def test_these_are_addresses(text: str) -> None:
    assert checked_address(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "ana", "@x.test", "a@", "a@b@c.test", "a b@x.test", "a@x test", "a@x.test, b@y.test", "a@x.test;b@y.test",
        "a@x.test\nBcc: b@y.test", "a\r@x.test", "a@x.test\x00", "<a@x.test>", "a@x.test>", '"a b"@x.test', "a..b@x.test", ".a@x.test",
        "a@-x.test", "a@x..test", "a@[127.0.0.1]", "a@x.test\u2028b", "=?utf-8?q?a?=@x.test\r\nb", "a@" + "x" * 64 + ".test",
        "a" * 65 + "@x.test", "a" * 300 + "@x.test", "a@x.test(comment)", "a\u202e@x.test",
    ],
)  # fmt: skip
def test_these_are_not_and_the_reason_is_one_printable_line(text: str) -> None:
    with pytest.raises(NotAnAddress) as caught:
        checked_address(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 130


def test_blanks_around_an_address_do_not_count() -> None:
    assert checked_address(" a@x.test\u2028") == "a@x.test"


@pytest.mark.parametrize(
    ("address", "envelope"),
    [
        ("info@bücher.test", "info@xn--bcher-kva.test"),
        ("jörg@bücher.test", "jörg@xn--bcher-kva.test"),
        ("Ana@X.test", "Ana@X.test"),
    ],
)
def test_the_domain_travels_in_ascii_and_the_mailbox_as_it_is(address: str, envelope: str) -> None:
    assert Mailbox(address).envelope == envelope


@pytest.mark.parametrize(
    ("text", "mailbox"),
    [
        ("a@x.test", Mailbox("a@x.test")),
        (" a@x.test ", Mailbox("a@x.test")),
        ("Ana <a@x.test>", Mailbox("a@x.test", "Ana")),
        ('"Doe, Ana" <a@x.test>', Mailbox("a@x.test", "Doe, Ana")),
        ('"A \\"B\\" \\\\" <a@x.test>', Mailbox("a@x.test", 'A "B" \\')),
        ("<a@x.test>", Mailbox("a@x.test")),
        ("Ana <b@y.test> <a@x.test>", Mailbox("a@x.test", "Ana <b@y.test>")),
    ],
)
def test_a_mailbox_is_read_and_written_so_that_it_reads_back(text: str, mailbox: Mailbox) -> None:
    assert Mailbox.read(text) == mailbox
    assert Mailbox.read(str(mailbox)) == mailbox


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("Al\r\nBcc: spy@evil.test", "Al Bcc: spy@evil.test"),
        ("=?utf-8?q?a=0D=0ABcc:_evil@x?=", "= ?utf-8?q?a=0D=0ABcc:_evil@x?="),
        ("a\x00b", "ab"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_a_name_holds_nothing_that_a_reader_decodes_or_hides(name: str, clean: str) -> None:
    assert clean_name(name) == clean
