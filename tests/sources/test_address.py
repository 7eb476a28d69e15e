"""No password leaves by an error's text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerun.sources._address import need_scheme, redacted


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://cam:s3cret@10.0.0.5:554/a?b=1", "rtsp://cam:***@10.0.0.5:554/a?b=1"),
        ("rtsp://cam@host/x", "rtsp://cam@host/x"),
        ("rtsp://host/x", "rtsp://host/x"),
        ("rtsp://cam:p@ss@host/x", "rtsp://cam:***@host/x"),
        ("rtsp://cam:p/ss@host/x", "rtsp://cam:***@host/x"),
        ("http://h/snap.cgi?user=a&pwd=s3cret&x=1", "http://h/snap.cgi?user=a&pwd=***&x=1"),
        ("http://h/snap.cgi?loginuse=a&loginpas=s3cret", "http://h/snap.cgi?loginuse=a&loginpas=***"),
    ],
)
def test_secrets_are_covered(url: str, shown: str) -> None:
    assert redacted(url) == shown


@given(st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1))
def test_no_password_survives(password: str) -> None:
    assert f":{password}@" not in redacted(f"rtsp://cam:{password}@host/x") or password == "***"


@pytest.mark.parametrize("url", ["rtsp://10.0.0.5:99999/x", "rtsp://cam:s3cret@host:0/x", "rtsp://[::1]:65536"])
def test_a_port_that_cannot_be(url: str) -> None:
    with pytest.raises(ValueError, match="a port that cannot be; they go from 1 to 65535") as caught:
        need_scheme(url, "rtsp", "rtsps")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["rtsp://cam:s3#cret@10.0.0.5/x", "rtsp://cam:s3/cret@host:554/x", "rtsp://host:rtsp/"])
def test_a_password_with_characters_that_end_the_host_is_told(url: str) -> None:
    with pytest.raises(ValueError, match="port that is no number; in a password write # as %23") as caught:
        need_scheme(url, "rtsp", "rtsps")
    assert "s3" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://[::1]/x",
        "rtsp://[fe80::a]:554/x",
        "rtsp://cam:s3cret@host",
        "rtsp://cam:a:b@host:554/x",
        "rtsp://${HOST}:${PORT}/x",
        "rtsp://cam:99999@host/x",
        "rtsp://host:554?b=:99999",
        "rtsp://h/:99999",
    ],
)
def test_what_is_no_port(url: str) -> None:
    need_scheme(url, "rtsp", "rtsps")


@pytest.mark.parametrize(
    "url",
    [
        "cam:s3cret@10.0.0.5",
        "http://cam:s3cret@host/",
        "rtsp://",
        "rtsp:///x",
        "rtsp://cam:s3cret@/x",
        "rtsp://:554/x",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_wrong_address_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="must begin with rtsp:// or rtsps:// and name a host") as caught:
        need_scheme(url, "rtsp", "rtsps")
    assert "s3cret" not in str(caught.value) and "cam" not in str(caught.value)
