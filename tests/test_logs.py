"""Logs tell what happened, and no credentials."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerun import logs
from edgerun.logs import LogOptions, Redactor


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, noisy = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:], root.level, logging.raiseExceptions = handlers, level, noisy
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("cannot open rtsp://cam:s3cret@10.0.0.5:554/stream2", "cannot open rtsp://***@10.0.0.5:554/stream2"),
        ("'rtsp://u:p@ss@host/x' and http://a@b", "'rtsp://***@host/x' and http://***@b"),
        ("rtsp://cam:it's<s3cret>@10.0.0.5/x", "rtsp://***@10.0.0.5/x"),
        ("http://10.0.0.5/mjpg?user=a&password=b&fps=5", "http://10.0.0.5/mjpg?user=a&password=***&fps=5"),
        ("http://10.0.0.5/?TOKEN=abc", "http://10.0.0.5/?TOKEN=***"),
        ("http://10.0.0.5/mjpg?api_key=a&x=1&access_token=b", "http://10.0.0.5/mjpg?api_key=***&x=1&access_token=***"),
        ("http://10.0.0.5/?apikey=abc is gone", "http://10.0.0.5/?apikey=*** is gone"),
        ("rtsp://10.0.0.5/user=me_password=abc_channel=1.sdp", "rtsp://10.0.0.5/user=me_password=***"),
        ("rtspsrc user-id=me user-pw=abc ! x", "rtspsrc user-id=me user-pw=*** ! x"),
        ('rtspsrc user-pw="a b" ! x name="y"', 'rtspsrc user-pw=*** ! x name="y"'),
        (r'{"a": "rtspsrc user-pw=\"a b\" ! x"}', '{"a": "rtspsrc user-pw=*** ! x"}'),
        ("http://10.0.0.5/?keyframe=9&passive=1&fps=5", "http://10.0.0.5/?keyframe=9&passive=1&fps=5"),
        ("in f: sorted(known, key=len)", "in f: sorted(known, key=len)"),
        ("mail me@host, 5 @ 3", "mail me@host, 5 @ 3"),
        ("rtsp://10.0.0.5/a@b", "rtsp://10.0.0.5/a@b"),
    ],
)
def test_urls_lose_their_credentials(text: str, hidden: str) -> None:
    """Wherever in a text they stand; the rest stays readable."""
    assert logs.hide_urls(text) == hidden


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_orders_to_the_terminal_stand_in_them(form: Literal["text", "json"]) -> None:
    """A camera's own words, or a model's, are quoted there."""
    out = io.StringIO()
    logs.set_up(LogOptions(format=form), stream=out)
    logging.getLogger("edgerun.test").warning("answers 500 \x1b[2J\x9b2J\r\u202eyes\nand so on")
    assert out.getvalue().replace("\n", "").isprintable()
    assert out.getvalue().count("\n") == (2 if form == "text" else 1)


def test_known_secrets_are_hidden_everywhere() -> None:
    """In messages, arguments, tracebacks and their URL-quoted form, in text and in JSON."""
    for options in (LogOptions(), LogOptions(format="json")):
        out = io.StringIO()
        redactor = logs.set_up(options, ["hunter2/!"], out)
        log = logging.getLogger("edgerun.test")
        log.warning("password %s, quoted %s", "hunter2/!", "hunter2%2F%21")
        try:
            raise ValueError("hunter2/! is wrong at rtsp://me:pw@cam/x")
        except ValueError:
            log.exception("failed")
        redactor.set(["later-secret"])
        log.error("later-secret")
        text = out.getvalue()
        assert "failed" in text
        assert "ValueError" in text
        for secret in ("hunter2/!", "hunter2%2F%21", "me:pw", "later-secret"):
            assert secret not in text


def test_a_redactor_leaves_short_and_empty_secrets_alone() -> None:
    """An empty password must not turn every gap between letters into stars."""
    assert Redactor(["", "a", "abc"]).hide("a banana, abc") == "a banana, abc"
    assert Redactor(["abcd", "abcdef"]).hide("abcdefg") == "***g"


@given(st.text(), st.lists(st.text(min_size=4), max_size=3))
def test_no_secret_survives(text: str, secrets: list[str]) -> None:
    """Whatever surrounds it."""
    hidden = Redactor(secrets).hide("".join([text, *secrets, text]))
    assert not any(secret in hidden for secret in secrets if "*" not in secret)


def test_json_is_one_object_a_line() -> None:
    """Also with line breaks and hidden values in the message."""
    out = io.StringIO()
    logs.set_up(LogOptions(format="json", level="debug"), stream=out)
    logging.getLogger("edgerun.a").debug("one\ntwo")
    entry = json.loads(out.getvalue())
    assert (entry["level"], entry["logger"], entry["message"]) == ("debug", "edgerun.a", "one\ntwo")
    assert entry["time"].endswith("Z")
    out.seek(0)
    out.truncate()
    logging.getLogger("edgerun.a").info('at "http://host/?token=abc"')
    assert json.loads(out.getvalue())["message"] == 'at "http://host/?token=***"'


def test_under_systemd_every_line_has_its_priority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of a traceback: the journal takes each line by itself."""
    with (tmp_path / "stderr").open("w") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        logs.set_up(stream=stream)
        logging.getLogger("edgerun.a").info("hello")
        logging.getLogger("edgerun.a").error("one\ntwo")
    assert (tmp_path / "stderr").read_text() == "<6>edgerun.a: hello\n<3>edgerun.a: one\n<3>two\n"


def test_a_closed_stderr_is_no_reason_to_fall_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor a reason for tracebacks about logging."""
    stream = (tmp_path / "stderr").open("w")
    logs.set_up(stream=stream)
    stream.close()
    logging.getLogger("edgerun.a").error("nobody hears this")
    assert capsys.readouterr().err == ""
