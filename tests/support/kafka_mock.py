"""librdkafka's mock cluster as a process of its own, told line by line what goes wrong.

    python -m tests.support.kafka_mock BROKERS

It speaks Kafka's protocol on TCP, keeps records in memory, and is no Kafka: nothing is replicated or written, there
are no logins, no TLS, no quotas, and sizes of topics are not checked.  What it proves is what we do with the answers.
Its functions are in the library of `confluent-kafka`, which has no Python for them.
"""

import ctypes
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PRODUCE = 0
"""Of the requests of Kafka's protocol (ApiKey)."""


@dataclass(frozen=True)
class MockCluster:
    """The process, from the test's side."""

    process: "subprocess.Popen[str]"
    bootstrap: str

    @property
    def url(self) -> str:
        """The address of its first broker."""
        return f"kafka://{self.bootstrap.split(',')[0]}"

    def tell(self, command: str) -> None:
        """`topic NAME PARTITIONS`, `refuse ERROR TIMES` (of Produce), `down BROKER`, `up BROKER`,
        `leader TOPIC PARTITION BROKER`.  Returns when it is so."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer == "done", f"{command}: {answer}"


@contextmanager
def kafka_mock(brokers: int = 1) -> Iterator[MockCluster]:
    """A mock cluster; killed at the end."""
    command = [sys.executable, "-m", "tests.support.kafka_mock", str(brokers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield MockCluster(process, process.stdout.readline().strip())
        finally:
            process.kill()


def serve(brokers: int) -> None:
    import confluent_kafka

    folder = Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs")
    lib = ctypes.CDLL(str(next(folder.glob("librdkafka*"))))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(lib, name).restype = ctypes.c_void_p
    lib.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    error = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(lib.rd_kafka_conf_new())
    lib.rd_kafka_conf_set(conf, b"log_level", b"0", error, 512)
    handle = ctypes.c_void_p(lib.rd_kafka_new(0, conf, error, 512))
    cluster = ctypes.c_void_p(lib.rd_kafka_mock_cluster_new(handle, brokers))
    print(lib.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
    for line in sys.stdin:
        verb, *words = line.split()
        if verb == "topic":
            failed = lib.rd_kafka_mock_topic_create(cluster, words[0].encode(), int(words[1]), brokers)
        elif verb == "refuse":
            errors = (ctypes.c_int * int(words[1]))(*[int(words[0])] * int(words[1]))
            lib.rd_kafka_mock_push_request_errors_array(cluster, ctypes.c_int16(PRODUCE), len(errors), errors)
            failed = 0
        elif verb in ("down", "up"):
            failed = getattr(lib, f"rd_kafka_mock_broker_set_{verb}")(cluster, int(words[0]))
        else:
            failed = lib.rd_kafka_mock_partition_set_leader(cluster, words[0].encode(), int(words[1]), int(words[2]))
        print("done" if not failed else f"error {failed}", flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
