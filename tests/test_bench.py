"""The measuring itself: what is told of figures, what the subscriber reads, and one short measurement to the end."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from edgerun.bench.figures import Figure, Section, markdown, percentile, spread, table
from edgerun.bench.pipeline import jain
from edgerun.bench.subscriber import Subscriber, unix
from edgerun.cli import main


def test_a_figure_is_set_against_its_floor_round_by_round() -> None:
    figure = Figure("rate", "/s", (90.0, 110.0, 99.0), (100.0, 100.0, 100.0), "bare")
    assert figure.compared == (0.9, 1.1, 0.99)
    assert figure.record()["ratio"]["median"] == 0.99
    more, less = (Figure("p50", "ms", (9.0,), (floor,), "bare", "difference") for floor in (8.0, 10.0))
    assert (more.compared, less.compared) == ((1.0,), (-1.0,))
    assert (figure.row()[3], more.row()[3][:2], less.row()[3][:2]) == ("×0.990 [0.900 – 1.100]", "+1", "-1")


def test_a_section_shows_all_it_holds_and_survives_json() -> None:
    section = Section("Things", [Figure("one", "ms", (1.0, 3.0, 2.0), goal="≤ 4")], ["on a table"])
    for told in (table(section), markdown(section)):
        assert all(word in told for word in ("Things", "one", "2 [1 – 3] ms", "≤ 4", "on a table"))
    assert Section.of(json.loads(json.dumps(section.record()))).figures[0].values == (1.0, 3.0, 2.0)


def test_spreads_and_percentiles_of_nothing_are_told() -> None:
    assert spread(()) == "none"
    assert percentile((), 99) == 0.0


def test_fairness_is_one_for_equal_shares_and_falls_to_one_part_of_all() -> None:
    assert jain([5.0, 5.0, 5.0]) == pytest.approx(1)
    assert jain([5.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert jain([0.0, 0.0]) == 0.0


def test_the_subscriber_reads_messages_however_the_bytes_are_cut() -> None:
    payload = json.dumps({"captured": "1970-01-01T00:00:01.500000Z", "filling": "x" * 200}).encode()
    topic = b"edgerun/bench/a/detections"
    body = len(topic).to_bytes(2, "big") + topic + payload
    publish = b"\x30" + bytes([len(body) % 128 | 128, len(body) // 128]) + body
    stream = b"\x20\x02\x00\x00" + b"\x90\x03\x00\x01\x00" + publish * 3

    def broker(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            for start in range(0, len(stream), 7):
                connection.sendall(stream[start : start + 7])
            connection.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=broker, args=(server,), daemon=True).start()
        subscriber = Subscriber(server.getsockname()[1], "edgerun/#")
        subscriber.wait_for(3)
        subscriber.close()
    arrivals = subscriber.since(0)
    assert [one.topic for one in arrivals] == [topic.decode()] * 3
    assert unix(arrivals[2].told["captured"]) == 1.5


def test_bench_writes_what_it_measured_beside_its_floor(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    assert main(["bench", "motion", "--repeats", "1", "--json", str(found)]) == 0
    told = json.loads(found.read_text())
    assert told["machine"]["cores"] >= 1
    (figure,) = told["sections"][0]["figures"]
    assert figure["median"] > 0 and figure["floor"]["median"] > 0


@pytest.mark.parametrize("text", ["hello", "{}", "[]", '{"machine": {}, "sections": [{}]}', "\xff"])
def test_figures_that_bench_did_not_write_are_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found := tmp_path / "found.json").write_text(text, encoding="latin-1")
    assert main(["bench", "--found", str(found)]) == 78
    assert f"{found} is not what --json wrote" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_place_that_is_not_there_is_told_before_anything_is_measured(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "motion", "--repeats", "1", option, str(tmp_path / "away" / "figures")]) == 78
    told = capsys.readouterr()
    assert f"there is no folder {tmp_path / 'away'}" in told.err
    assert not told.out


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_place_that_takes_no_file_is_told_before_anything_is_measured(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder itself, as somebody gives it who lets ``--save`` choose the names elsewhere."""
    assert main(["bench", "motion", "--repeats", "1", option, str(tmp_path)]) == 78
    told = capsys.readouterr()
    assert f"{tmp_path} cannot be written: Is a directory" in told.err
    assert not told.out


def test_a_run_that_was_ended_leaves_no_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgerun.bench.parts.motion", ended)
    (before := tmp_path / "before").write_text("figures")
    for target in (tmp_path / "new", before):
        with pytest.raises(KeyboardInterrupt):
            main(["bench", "motion", "--repeats", "1", "--json", str(target)])
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("before", "figures")]


@pytest.mark.parametrize("option", ["--repeats=0", "--repeats=-1", "--repeats=1.5", "--starts=-1"])
def test_nothing_is_measured_less_than_once(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "tracker", option])
    assert "must be a whole number from" in capsys.readouterr().err
