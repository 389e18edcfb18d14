"""Real message brokers for tests, each in a process and a folder of its own, stopped with the test.

Kafka comes as jars from Maven (tests/fakes/kafka_jars/pom.xml) and needs a JRE; RabbitMQ and ActiveMQ are Debian's.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0
JAVA = ["java", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Broker:
    """A server process that can be killed and started again on its own data and port."""

    command: Sequence[str]
    folder: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    helper: Sequence[str] = ()
    """A process it needs beside it."""
    process: subprocess.Popen[bytes] | None = None
    beside: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self.helper:
            self.beside = subprocess.Popen(self.helper, stdin=subprocess.DEVNULL)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.command[0]} did not start: {(self.folder / 'log').read_text()[-3000:]}")

    def kill(self) -> None:
        """Without a word, with all its children."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
        if self.beside is not None:
            self.beside.kill()
            self.beside.wait()
            self.beside = None


@contextmanager
def running(broker: Broker) -> Iterator[Broker]:
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
        shutil.rmtree(broker.folder, ignore_errors=True)


def _folder(name: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"base-ops-{name}-"))


# -- Kafka


def kafka_jars() -> Path:
    """Folder of Apache Kafka's jars, fetched once per machine."""
    pom = Path(__file__).parent / "kafka_jars" / "pom.xml"
    folder = Path.home() / ".cache" / "base-ops-tests" / f"kafka-{hash_of(pom)}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(dir=folder.parent))
        subprocess.run(
            ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={staged}"],
            check=True,
            stdout=sys.stderr,
        )
        try:
            staged.rename(folder)
        except OSError:  # another process was first
            shutil.rmtree(staged)
    return folder


def hash_of(file: Path) -> str:
    import hashlib

    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def kafka(
    *, users: dict[str, str] | None = None, new_topics: bool = False, tls: dict[str, str] | None = None
) -> Broker:
    """One broker in KRaft mode; with `users` it wants SASL/PLAIN; with `tls` (its settings) it speaks TLS."""
    folder, port, controller = _folder("kafka"), free_port(), free_port()
    name = ("SASL_SSL" if tls else "SASL_PLAINTEXT") if users else ("SSL" if tls else "PLAINTEXT")
    lines = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"{name}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"{name}://127.0.0.1:{port}",
        "listener.security.protocol.map": f"{name}:{name},CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": name,
        "log.dirs": str(folder / "data"),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": str(new_topics).lower(),
        "broker.session.timeout.ms": "1500",
        "broker.heartbeat.interval.ms": "200",
        "log.retention.ms": "-1",
    }
    if users:
        known = " ".join(f'user_{login}="{password}"' for login, password in users.items())
        login, password = next(iter(users.items()))
        lines |= {
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            f"listener.name.{name.lower()}.plain.sasl.jaas.config": (
                "org.apache.kafka.common.security.plain.PlainLoginModule required "
                f'username="{login}" password="{password}" {known};'
            ),
        }
    lines |= tls or {}
    settings = folder / "server.properties"
    settings.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    java = [*JAVA, "-cp", f"{kafka_jars()}/*"]
    subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", str(settings)],
        check=True,
        capture_output=True,
    )
    return Broker([*java, "kafka.Kafka", str(settings)], folder, port)


class Topics:
    """What tests do to a Kafka broker."""

    def __init__(self, port: int) -> None:
        from confluent_kafka import Producer
        from confluent_kafka.admin import AdminClient

        self.servers = f"127.0.0.1:{port}"
        self.admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        self.producer = Producer({"bootstrap.servers": self.servers, "linger.ms": 5, "log_level": 0})

    def create(self, name: str, partitions: int = 1, **config: str) -> None:
        from confluent_kafka.admin import NewTopic

        made = NewTopic(name, partitions, 1, config={k.replace("_", "."): v for k, v in config.items()})
        self.admin.create_topics([made])[name].result(PATIENCE_S)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:  # partitions get their leader a moment later
            found = self.admin.list_topics(name, timeout=10).topics[name]
            if len(found.partitions) == partitions and all(p.leader == 1 for p in found.partitions.values()):
                return
            time.sleep(0.02)

    def send(self, topic: str, *values: bytes | None, partition: int | None = None, **more: Any) -> None:
        for number, value in enumerate(values):
            where = {} if partition is None else {"partition": partition}
            self.producer.produce(topic, value, **where, **more)
            if number % 10_000 == 0:
                self.producer.poll(0)
        assert self.producer.flush(PATIENCE_S) == 0


# -- RabbitMQ


def rabbitmq() -> Broker:
    """One node with the user guest."""
    folder, port, distribution, mapper = _folder("rabbitmq"), free_port(), free_port(), str(free_port())
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\nlog.console = true\n"
    )
    (folder / "enabled_plugins").write_text("[].\n")
    environment = {
        "HOME": str(folder),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_NODENAME": f"t{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "ERL_EPMD_PORT": mapper,
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none",
    }
    epmd = ["epmd", "-port", mapper, "-address", "127.0.0.1"]  # else Erlang starts one that nobody stops
    return Broker(["/usr/lib/rabbitmq/bin/rabbitmq-server"], folder, port, environment, helper=epmd)


# -- ActiveMQ

_ACTIVEMQ = """<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans.xsd
  http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="test" dataDirectory="{data}" useJmx="false"
      schedulePeriodForDestinationPurge="0">
    <persistenceAdapter><kahaDB directory="{data}/kahadb"/></persistenceAdapter>
    <plugins><simpleAuthenticationPlugin><users>
      <authenticationUser username="guest" password="guest-secret" groups="users"/>
    </users></simpleAuthenticationPlugin></plugins>
    <transportConnectors>
      <transportConnector name="stomp" uri="{scheme}://127.0.0.1:{port}"/>
    </transportConnectors>
  </broker>
</beans>
"""


def activemq(scheme: str = "stomp") -> Broker:
    """One broker that speaks STOMP, with the user guest and the password guest-secret."""
    folder, port = _folder("activemq"), free_port()
    settings = folder / "activemq.xml"
    settings.write_text(_ACTIVEMQ.format(data=folder / "data", port=port, scheme=scheme))
    home = Path("/usr/share/activemq")
    command = [
        *JAVA,
        f"-Dactivemq.home={home}",
        f"-Dactivemq.base={folder}",
        f"-Dactivemq.conf={folder}",
        f"-Dactivemq.data={folder / 'data'}",
        "-jar",
        str(home / "bin" / "activemq.jar"),
        "start",
        f"xbean:file:{settings}",
    ]
    return Broker(command, folder, port)
