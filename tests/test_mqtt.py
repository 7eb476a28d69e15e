"""The MQTT sink at brokers that are strict, silent, closed, encrypted or not there: a sentence for each, and never more
in flight than allowed."""

from __future__ import annotations

import queue
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Literal

import pytest
from paho.mqtt.client import MQTTMessage

from edgerun.outbox import OutboxOptions
from edgerun.runtime.delivery.delivery import Delivery
from edgerun.secrets import Secret
from edgerun.sinks import mqtt_words as words
from edgerun.sinks.mqtt import MqttOptions, MqttSink
from edgerun.sinks.mqtt_connection import Connection
from edgerun.sinks.mqtt_endpoint import TlsOptions
from edgerun.sinks.mqtt_packets import publish_packet
from edgerun.sinks.mqtt_suspects import Suspects
from edgerun.stages import Request, Verdict
from edgerun.topics import Topics
from edgerun.types import Message
from tests.daemon_process import wait_for
from tests.servers.mosquitto import Mosquitto, free_port, needs_mosquitto
from tests.servers.strict_broker import RECEIVE_MAXIMUM, StrictBroker
from tests.test_delivery import counts, event


class Diary:
    """Writes down what a sink tells."""

    def __init__(self) -> None:
        self.news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.requests: queue.SimpleQueue[Request] = queue.SimpleQueue()

    def connected(self, window: int, session: int) -> None:
        self.news.put("connected")

    def disconnected(self, reason: str) -> None:
        self.news.put(reason)

    def denied(self, topic: str, reason: str) -> None: ...

    def answered(self, token: int, verdict: Verdict, reason: str) -> None:
        self.news.put(f"{token} {verdict}")

    def received(self, request: Request) -> None:
        self.requests.put(request)


def first_news(**options: Any) -> str:
    """What a sink tells first of a broker."""
    sink, diary = MqttSink(MqttOptions(**options), "pi"), Diary()
    sink.open(diary)
    try:
        return diary.news.get(timeout=15)
    finally:
        sink.close()


def test_a_window_is_never_exceeded(tmp_path: Path) -> None:
    """Alerts, last alerts, states and answers together stay within what the broker takes, and all arrive."""
    broker = StrictBroker()
    topics = Topics("edgerun", "pi")
    sink = MqttSink(MqttOptions(port=broker.port), "pi")
    delivery = Delivery(topics, sink, tmp_path / "outbox.db", OutboxOptions())
    for n in range(60):
        delivery.accept(event(n, ("porch", "yard")[n % 2]))
        delivery.retain(Message(f"edgerun/pi/state{n}", b"x", 1, True))
    delivery.start()
    counts(delivery, delivered=60)
    for n in range(20):
        delivery.answer(Message(f"edgerun/pi/ack{n}", b"{}", 1))
    states = {f"edgerun/pi/state{n}" for n in range(60)} | {f"edgerun/pi/ack{n}" for n in range(20)}
    wait_for(lambda: states <= {topic for topic, _ in broker.published}, 20, "all states and answers")
    assert 1 < broker.most_unanswered <= RECEIVE_MAXIMUM
    delivery.close(1.0)
    broker.close()


def test_a_broker_that_does_not_read_holds_nobody_up() -> None:
    """Detections are dropped once the socket takes no more, and sending never blocks. When it reads again, all that
    was not dropped comes whole, and alerts between them."""
    broker = StrictBroker(reading=False)
    sink, diary = MqttSink(MqttOptions(port=broker.port), "pi"), Diary()
    sink.open(diary)
    assert diary.news.get(timeout=10) == "connected"
    sent, last = 0, time.monotonic()
    while time.monotonic() - last < 0.5:  # the kernel's buffers grow for a while
        if sink.send(Message("edgerun/pi/porch/snapshot", b"%05d" % sent * 20_000, retain=True)):
            sent, last = sent + 1, time.monotonic()
            if sent == 2:
                assert sink.offer(Message("edgerun/pi/porch/alerts", b"early", 1), 1, 1)
        else:
            time.sleep(0.01)
    assert not sink.offer(Message("edgerun/pi/porch/alerts", b"too early", 1), 2, 1)
    worked = time.process_time()
    time.sleep(1.0)
    assert time.process_time() - worked < 0.2  # it waits, and does not ask again and again
    broker.reading.set()
    assert diary.news.get(timeout=10) == "1 taken"
    wait_for(lambda: sink.offer(Message("edgerun/pi/porch/alerts", b"late", 1), 3, 1), 20, "there is room again")
    assert diary.news.get(timeout=10) == "3 taken"
    pictures = [payload for topic, payload in broker.published if topic.endswith("snapshot")]
    assert len(pictures) == sent
    assert all(picture[1:] == picture[1:6] * 20_000 for picture in pictures)
    sink.close()
    broker.close()


def test_a_connection_that_comes_about_after_the_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow name server, or a host that had gone: ``close`` does not wait for it."""
    broker = StrictBroker()
    connects, may_connect, connect = threading.Event(), threading.Event(), Connection.open

    def slow(connection: Connection) -> None:
        connects.set()
        may_connect.wait(10)
        connect(connection)

    monkeypatch.setattr(Connection, "open", slow)
    sink, diary = MqttSink(MqttOptions(port=broker.port), "pi"), Diary()
    sink.open(diary)
    assert connects.wait(10)
    sink.close()
    may_connect.set()
    wait_for(lambda: "mqtt" not in {thread.name for thread in threading.enumerate()}, 10, "its thread has ended")
    assert diary.news.empty()
    broker.close()


def test_a_connection_is_not_closed_under_who_writes_to_it() -> None:
    """Its number may be that of another file the next moment: of the outbox, say, which the message then went into."""
    writes, closed, closed_meanwhile = threading.Event(), threading.Event(), list[bool]()

    class Socket:
        close = staticmethod(closed.set)

        def send(self, packet: bytes) -> int:
            writes.set()
            closed_meanwhile.append(closed.wait(0.3))
            return len(packet)

    connection = Connection(MqttSink(MqttOptions(), "pi")._endpoint, 1, Diary(), socket.socket(), Suspects())
    sock: Any = Socket()
    connection._client.socket = lambda: sock  # type: ignore[method-assign]
    connection._socket, connection._up = sock, True
    sender = threading.Thread(target=connection.send, args=[Message("edgerun/pi/porch/detections", b"{}")])
    sender.start()
    assert writes.wait(10)
    connection.drop()
    sender.join(10)
    assert closed.is_set() and closed_meanwhile == [False]


@pytest.mark.parametrize("v5", [False, True])
@pytest.mark.parametrize("size", [0, 126, 127, 128, 129, 16382, 16383, 16384, 16385, 2097151, 2097152])
def test_a_packet_tells_its_length_as_mqtt_wants_it(size: int, v5: bool) -> None:
    """Seven bits a byte, the low ones first, and a bit that says that more come."""
    topic, expiry = b"\x00\x01t", b"\x05\x02\x00\x00\x01\x2c" if v5 else b""
    payload = bytes(max(0, size - len(topic + expiry)))
    packet = publish_packet(Message("t", payload, retain=True, expiry_s=300), v5)
    length, shift, at = 0, 0, 1
    while packet[at] & 0x80:
        length, shift, at = length | (packet[at] & 0x7F) << shift, shift + 7, at + 1
    length |= packet[at] << shift
    assert packet[0] == 0x31
    assert length == len(packet) - at - 1
    assert packet[at + 1 :] == topic + expiry + payload


@pytest.mark.parametrize(
    ("code", "v5", "said", "retriable"),
    [
        (0x84, True, 'set `mqtt.version: "3.1.1"`', False),
        (0x01, True, 'set `mqtt.version: "3.1.1"`', False),
        (0x01, False, "the broker refuses the connection", False),
        (0x87, True, "check `mqtt.username` and `mqtt.password`", False),
        (0x88, True, "the broker is not available now", True),
        (0x89, True, "the broker is busy", True),
        (0x97, True, "a quota at the broker is used up", True),
        (0x9F, True, "says we connect too often", True),
        (0x8A, True, "has banned this client", False),
        (0x85, False, "set another `mqtt.client_id`", False),
    ],
)
def test_why_a_broker_turned_us_away_and_whether_to_come_back_soon(
    code: int, v5: bool, said: str, retriable: bool
) -> None:
    error = words.refused(code, "reason", v5, "porch")
    assert said in str(error)
    assert error.retriable is retriable


@pytest.mark.parametrize(
    ("code", "told"),
    [(0x95, 0x95), (0x80, 0), (0x83, 0), (0x87, 0), (0x90, 0), (0x97, 0), (0x99, 0), (0x81, 0x81), (0x10, 0), (0, 0)],
)
def test_an_answer_with_a_reason_that_is_another_packets_is_a_failure_like_others(code: int, told: int) -> None:
    """paho would end the connection over it, in which the same message would follow."""
    connection = Connection(MqttSink(MqttOptions(), "pi")._endpoint, 1, Diary(), socket.socket(), Suspects())
    client: Any = connection._client
    reasons: list[int] = []
    client.on_publish = lambda client, data, mid, reason, properties: reasons.append(reason.value)
    client._out_messages[7] = info = MQTTMessage(7, b"t")
    info.qos, info.info._published = 1, False
    client._in_packet["packet"] = bytearray([0, 7, code])
    client._in_packet["remaining_length"] = 3
    client._handle_pubackcomp("PUBACK")
    assert client.unlisted == told
    assert reasons == [0x80 if told else code]


def test_a_refused_subscription_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody would know otherwise why commands do nothing."""
    broker = StrictBroker(secret="cmd/")
    topics = Topics("edgerun", "pi")
    sink = MqttSink(MqttOptions(port=broker.port), "pi", None, (topics.status,), (topics.command("+"),))
    delivery = Delivery(topics, sink, tmp_path / "outbox.db", OutboxOptions())
    delivery.start()
    for n in (1, 2):
        delivery.accept(event(n))
        counts(delivery, delivered=n, connects=n)  # the answers to what was asked before it are here, too
        sink.reconnect("once more")
    counts(delivery, connects=3)
    said = [record.message for record in caplog.records if "hear" in record.message]
    assert said == ["the broker does not let us hear what comes at edgerun/pi/cmd/+: Not authorized"]
    delivery.close(1.0)
    broker.close()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("forbidden", ["/porch/alerts", "/state3"])
def test_what_a_broker_ends_the_connection_over_keeps_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, forbidden: str, version: Literal["5", "3.1.1"]
) -> None:
    """As RabbitMQ and aedes do to what their access rules forbid, and rumqttd to what is too large for it."""
    broker = StrictBroker(older=version == "3.1.1", forbidden=forbidden)
    sink = MqttSink(MqttOptions(port=broker.port, version=version), "pi")
    delivery = Delivery(Topics("edgerun", "pi"), sink, tmp_path / "outbox.db", OutboxOptions())
    topics = {f"edgerun/pi/{camera}/alerts" for camera in ("porch", "yard")}
    for n in range(20):
        delivery.accept(event(n, ("porch", "yard")[n % 2]))
        delivery.retain(Message(f"edgerun/pi/state{n}", b"x", 1, True))
        topics.add(f"edgerun/pi/state{n}")
    delivery.start()
    (left_out,) = (topic for topic in topics if topic.endswith(forbidden))
    wait_for(lambda: topics - {left_out} <= {topic for topic, _ in broker.published}, 20, "all others arrive")
    wait_for(lambda: f"is sent to {left_out}: it ends the connection" in caplog.text, 20, "it says what is left out")
    counts(delivery, connects=3, connected=True, delivered=10 if left_out.endswith("alerts") else 20)
    assert ("it ends the connection" in delivery.snapshot().refusal) is left_out.endswith("alerts")
    delivery.close(1.0)
    broker.close()


def test_a_subscription_over_which_a_broker_ends_the_connection_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As RabbitMQ does to one that may not read. The alerts go through all the same."""
    broker = StrictBroker(older=True, forbidden="cmd/+")
    topics = Topics("edgerun", "pi")
    options = MqttOptions(port=broker.port, version="3.1.1")
    sink = MqttSink(options, "pi", None, (topics.status,), (topics.command("+"),))
    delivery = Delivery(topics, sink, tmp_path / "outbox.db", OutboxOptions())
    delivery.start()
    delivery.accept(event(1))
    counts(delivery, delivered=1)
    wait_for(lambda: "hear what comes at edgerun/pi/cmd/+: it ends the connection" in caplog.text, 20, "it says so")
    delivery.accept(event(2))
    counts(delivery, delivered=2, connects=3)
    delivery.close(1.0)
    broker.close()


def test_what_gets_no_answer_is_not_taken_for_the_cause() -> None:
    """A picture, where two devices of the same name throw each other out again and again."""
    broker = StrictBroker()
    sink, diary = MqttSink(MqttOptions(port=broker.port), "pi"), Diary()
    sink.open(diary)
    for session in (1, 2, 3, 4):
        wait_for(lambda: diary.news.get(timeout=10) == "connected", 10, "a connection")
        assert sink.offer(Message("edgerun/pi/porch/snapshot", b"picture", retain=True), session, session)
        assert diary.news.get(timeout=10) == f"{session} taken"
        sink.reconnect("thrown out")
    sink.close()
    broker.close()


def test_what_was_granted_or_long_ago_is_not_suspect() -> None:
    suspects = Suspects()
    suspects.ask("early", 0.0, 1)
    suspects.ask("granted", 9.0, 2)
    suspects.ask("cause", 9.0, 3)
    suspects.ask("unanswered", 9.0)
    suspects.grant(2)
    suspects.ended(10.0)
    suspects.ask("cause", 10.0, 1)
    assert [suspects.must_wait(name, 10.0) for name in ("early", "granted", "cause", "unanswered")] == [
        False, False, True, True,
    ]  # fmt: skip
    suspects.ended(11.0)
    suspects.ask("unanswered", 11.0)
    suspects.ended(20.0)
    assert [suspects.barred(name, 20.0) for name in ("cause", "unanswered")] == [True, False]


def test_a_bar_is_lifted_now_and_then_and_for_good_once_it_is_granted() -> None:
    suspects = Suspects()
    suspects.ask("picture", 0.0)
    suspects.ended(0.0)
    for at, barred_s in ((1.0, 60.0), (100.0, 120.0), (300.0, 240.0), (600.0, 480.0), (1200.0, 600.0), (1900.0, 600.0)):
        suspects.ask("picture", at)
        suspects.ended(at)
        assert suspects.barred("picture", at + barred_s - 1.0)
        assert not suspects.barred("picture", at + barred_s)
    suspects.ask("picture", 3000.0, 1)
    suspects.grant(1)
    suspects.ask("picture", 3001.0, 2)
    suspects.ended(3001.0)
    assert not suspects.barred("picture", 3001.0)


def test_nothing_listens() -> None:
    assert "nothing listens at 127.0.0.1:1" in first_news(port=1)


def test_no_such_name() -> None:
    assert "'no-such-host.invalid' cannot be resolved" in first_news(host="no-such-host.invalid")


def test_a_broker_that_was_there_is_not_taken_for_something_else() -> None:
    """One that hangs, is full or takes nothing is no reason to doubt the port, TLS or the version of MQTT."""
    broker = StrictBroker()
    sink, diary = MqttSink(MqttOptions(port=broker.port), "pi"), Diary()
    sink.open(diary)
    assert diary.news.get(timeout=10) == "connected"
    for hangs, expected in ((True, "no longer answers"), (False, "just starting")):
        broker.hangs, broker.hangs_up = hangs, not hangs
        sink.reconnect("once more")
        assert diary.news.get(timeout=10) == "once more"
        assert expected in diary.news.get(timeout=20)
        broker.hangs = broker.hangs_up = False
        wait_for(lambda: diary.news.get(timeout=20) == "connected", 20, "it is back")
    sink.close()
    broker.close()


@pytest.mark.parametrize(("spoken", "other"), [("5", "3.1.1"), ("3.1.1", "5")])
def test_the_other_version_is_offered_where_a_broker_hangs_up(spoken: str, other: str) -> None:
    """As RabbitMQ did before it spoke 5, and ActiveMQ, without an answer."""
    broker = StrictBroker()
    broker.hangs_up = True
    assert f'not speak MQTT {spoken}? Then set `mqtt.version: "{other}"`' in first_news(
        port=broker.port, version=spoken
    )
    broker.close()


def test_it_is_no_broker(tmp_path: Path) -> None:
    broker = StrictBroker()
    news = first_news(port=broker.port, version="3.1.1")  # its answer is none in 3.1.1
    assert "no MQTT" in news or "broke" in news
    broker.close()


@pytest.mark.broker
@needs_mosquitto
def test_a_wrong_password(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.touch()
    with Mosquitto(tmp_path / "m", settings=f"allow_anonymous false\npassword_file {passwords}") as broker:
        news = first_news(port=broker.port, username="edgerun", password=Secret("wrong"))
        assert (
            news == "the broker refuses the user 'edgerun' or its password: check `mqtt.username` and `mqtt.password`"
        )
        assert "without a user name" in first_news(port=broker.port)
        assert "without a user name" in first_news(port=broker.port, version="3.1.1")


@pytest.mark.broker
@needs_mosquitto
def test_a_port_for_websockets(tmp_path: Path) -> None:
    """Mosquitto does not start without one of the other kind."""
    settings = f"protocol websockets\nallow_anonymous true\nlistener {free_port()} 127.0.0.1"
    with Mosquitto(tmp_path / "m", settings=settings) as broker:
        assert "or websockets at this port?" in first_news(port=broker.port)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a server's certificate of it for localhost, a client's, and a CA that has nothing to do with them."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    (folder / "san").write_text("subjectAltName=DNS:localhost")
    for ca in ("ca", "other"):
        openssl(*f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={ca} -keyout {ca}.key -out {ca}.pem".split())
    for name in ("server", "client"):
        openssl(*f"req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr".split())
        sign = f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out {name}.pem -extfile san"
        openssl(*sign.split())
    return folder


@pytest.mark.broker
@needs_mosquitto
def test_tls(tmp_path: Path, certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It connects with the right certificates, and says what is wrong with the wrong ones."""
    files = certificates
    settings = f"cafile {files}/ca.pem\ncertfile {files}/server.pem\nkeyfile {files}/server.key\nallow_anonymous true\n"
    with Mosquitto(tmp_path / "m", settings=settings) as broker:
        at = {"host": "localhost", "port": broker.port}
        assert first_news(**at, tls=TlsOptions(ca=f"{files}/ca.pem")) == "connected"
        assert first_news(**at, tls=TlsOptions(insecure=True)) == "connected"
        assert "not trusted" in first_news(**at, tls=TlsOptions())
        assert "not trusted" in first_news(**at, tls=TlsOptions(ca=f"{files}/other.pem"))
        ip = first_news(host="127.0.0.1", port=broker.port, tls=TlsOptions(ca=f"{files}/ca.pem"))
        assert "not trusted" in ip and "127.0.0.1" in ip
        assert "cannot be read" in first_news(**at, tls=TlsOptions(ca=f"{files}/missing.pem"))
        assert f"`mqtt.tls.ca`: {files}/san holds no certificate" in first_news(**at, tls=TlsOptions(ca=f"{files}/san"))
        assert "does it expect TLS" in first_news(**at)
    with Mosquitto(tmp_path / "m2", settings=settings + "require_certificate true\n") as broker:
        at = {"host": "localhost", "port": broker.port}
        monkeypatch.setenv("HOME", str(files))
        for place in (files, "~"):
            own = TlsOptions(ca=f"{place}/ca.pem", cert=f"{place}/client.pem", key=f"{place}/client.key")
            assert first_news(**at, tls=own) == "connected"
        assert "does it ask for a certificate" in first_news(**at, tls=TlsOptions(ca=f"{files}/ca.pem"))
    with Mosquitto(tmp_path / "m3") as broker:
        assert "no TLS" in first_news(host="localhost", port=broker.port, tls=TlsOptions(ca=f"{files}/ca.pem"))


@pytest.mark.parametrize(
    ("ca", "cert", "key", "said"),
    [
        ("missing.pem", "client.pem", "client.key", "`mqtt.tls.ca`: {}/missing.pem cannot be read (No such file"),
        ("ca.pem", "missing.pem", "client.key", "`mqtt.tls.cert`: {}/missing.pem cannot be read (No such file"),
        ("ca.pem", "client.pem", "missing.key", "`mqtt.tls.key`: {}/missing.key cannot be read (No such file"),
        ("ca.key", "client.pem", "client.key", "`mqtt.tls.ca`: {}/ca.key holds no certificate"),
        ("ca.pem", "client.key", "client.key", "`mqtt.tls.cert`: {}/client.key holds no certificate"),
        ("ca.pem", "client.pem", "client.pem", "`mqtt.tls.key`: {}/client.pem holds no private key"),
        ("ca.pem", "client.pem", "locked.key", "`mqtt.tls.key`: {}/locked.key is locked with a password"),
        ("ca.pem", "client.pem", "server.key", "`mqtt.tls.cert` and `key`: {0}/client.pem and {0}/server.key are no"),
    ],
)
def test_a_tls_file_that_cannot_be_used_is_named(certificates: Path, ca: str, cert: str, key: str, said: str) -> None:
    """A locked key is not asked the password of, at a terminal where nobody may sit."""
    files = certificates
    openssl = f"openssl pkey -aes256 -passout pass:secret -in {files}/client.key -out {files}/locked.key"
    subprocess.run(openssl.split(), check=True, capture_output=True)
    news = first_news(port=1, tls=TlsOptions(ca=f"{files}/{ca}", cert=f"{files}/{cert}", key=f"{files}/{key}"))
    assert said.format(files) in news


@pytest.mark.broker
@needs_mosquitto
def test_openssl_is_loaded_for_tls_alone_and_then_works(tmp_path: Path, certificates: Path) -> None:
    """In a process of its own, as this one has it loaded. The large message fills the socket, which TLS tells by errors
    of its own."""
    program = """
import sys, threading
from pathlib import Path
from edgerun.sinks.mqtt import MqttOptions, MqttSink
from edgerun.sinks.mqtt_endpoint import TlsOptions
from edgerun.sinks.mqtt_suspects import Suspects
from edgerun.types import Message

class Listener:
    def __init__(self): self.told = threading.Semaphore(0); self.got = []
    def connected(self, _, session): self.session = session; self.told.release()
    def disconnected(self, why): print(why)
    def answered(self, *_): self.told.release()
    def received(self, request): self.got.append(len(request.payload)); self.told.release()

def a_round(port, tls):
    options, listener = MqttOptions(host="localhost", port=port, tls=tls), Listener()
    sink = MqttSink(options, "pi", subscriptions=("edgerun/pi/echo",))
    sink.open(listener)
    assert listener.told.acquire(timeout=10)
    assert sink.offer(Message("edgerun/pi/large", b"x" * 20_000_000, 1), 7, listener.session)
    assert listener.told.acquire(timeout=20)
    assert sink.offer(Message("edgerun/pi/echo", b"x" * 50_000, 1), 8, listener.session)
    assert listener.told.acquire(timeout=20) and listener.told.acquire(timeout=20)
    assert listener.got == [50_000]
    sink.close()

plain, encrypted, ca = sys.argv[1:]
a_round(int(plain), None)
assert not {"_ssl", "_hashlib"} & set(sys.modules), "OpenSSL was loaded for nothing"
a_round(int(encrypted), TlsOptions(ca=ca))
assert "_ssl" in sys.modules
"""
    files = certificates
    settings = f"cafile {files}/ca.pem\ncertfile {files}/server.pem\nkeyfile {files}/server.key\nallow_anonymous true\n"
    with Mosquitto(tmp_path / "p") as plain, Mosquitto(tmp_path / "m", settings=settings) as broker:
        ports = str(plain.port), str(broker.port)
        subprocess.run([sys.executable, "-c", program, *ports, f"{files}/ca.pem"], check=True, timeout=60)


@pytest.mark.broker
@needs_mosquitto
def test_what_is_larger_than_any_request_takes_no_memory(tmp_path: Path) -> None:
    """To who speaks 3.1.1 a broker sends whatever somebody left where it listens, at each connect."""
    topic, large = "edgerun/pi/cmd/ping", 20_000_000
    with Mosquitto(
        tmp_path / "m", settings="allow_anonymous true\nmax_packet_size 30000000\n"
    ) as broker:  # since 2.1 it takes 2 MB
        stranger, taken = MqttSink(MqttOptions(port=broker.port), "stranger"), Diary()
        stranger.open(taken)
        assert taken.news.get(timeout=10) == "connected"
        assert stranger.offer(Message(topic, b"x" * large, 1, retain=True), 1, 1)
        assert taken.news.get(timeout=20).startswith("1 ")
        sink, diary = MqttSink(MqttOptions(port=broker.port, version="3.1.1"), "pi", subscriptions=(topic,)), Diary()
        sink.open(diary)
        assert len(diary.requests.get(timeout=10).payload) < large / 100
        assert stranger.offer(Message(topic, b"{}", 1), 2, 1)
        assert diary.requests.get(timeout=10).payload == b"{}"
        for one in (sink, stranger):
            one.close()


@pytest.mark.broker
@needs_mosquitto
def test_a_second_client_of_the_same_name_is_named_as_the_cause(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "m") as broker:
        first, diary = MqttSink(MqttOptions(port=broker.port), "pi"), Diary()
        first.open(diary)
        assert diary.news.get(timeout=10) == "connected"
        for first_of_all in (True, False):
            assert first_news(port=broker.port, client_id="edgerun-pi") == "connected"
            news = diary.news.get(timeout=10)  # Mosquitto tells the cause since 2.1
            told = "another client came with the same id" in news
            assert told or ("broke" if first_of_all else "does another client use the id 'edgerun-pi'") in news
            assert diary.news.get(timeout=10) == "connected"
        first.close()


@pytest.mark.parametrize("wrong", ["a/+", "#", "a//b", "/a", "$SYS", "a\x01", "a\0", "a" * 65_000])
def test_a_prefix_must_be_a_topic(wrong: str) -> None:
    with pytest.raises(ValueError, match="no topic"):
        MqttOptions(prefix=wrong)


def test_what_is_longer_than_mqtt_can_say_is_refused() -> None:
    long = "a" * 65_536
    for options in ({"client_id": long}, {"username": long}, {"username": "a", "password": Secret(long)}):
        with pytest.raises(ValueError, match="65535 bytes that MQTT allows"):
            MqttOptions(**options)


def test_a_key_needs_its_certificate() -> None:
    with pytest.raises(ValueError, match="both cert and key"):
        TlsOptions(key="a.key")


def test_what_paho_wants_for_proxies_is_not_imported_until_it_is_used() -> None:
    program = """
import sys
import time
from edgerun.sinks._late import put_off
put_off("urllib.request")
put_off("hashlib")
put_off("ssl", SSLWantReadError=KeyError)
import paho.mqtt.client
import ssl
assert not {"http.client", "_ssl", "_hashlib"} & set(sys.modules)
assert ssl.SSLWantReadError is KeyError and "_ssl" not in sys.modules
from urllib.request import Request
import urllib.request
assert Request("http://pi/").host == "pi" and urllib.request.getproxies is not None
assert sys.modules["urllib.request"].Request is Request
put_off("urllib.request")
assert sys.modules["urllib.request"].Request is Request
assert ssl.SSLContext and paho.mqtt.client.ssl.SSLWantReadError is sys.modules["ssl"].SSLWantReadError is not KeyError
"""
    subprocess.run([sys.executable, "-c", program], check=True)
