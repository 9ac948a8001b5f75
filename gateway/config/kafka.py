"""What a broker at `kafka://` or `kafkas://` has beside the keys of every broker."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.config.quantities import Strict, url_of
from gateway.config.secret import Secret
from gateway.urls import parse_url

KAFKA_SCHEMES = ("kafka", "kafkas")
TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,248}$")]


class RegistryConfig(Strict):
    """A schema registry: a JSON Schema is registered there, and each payload begins with its number."""

    url: Annotated[str, url_of("http", "https")]
    """Where it is, such as `https://registry:8081`.  `http://` with a password is accepted on this machine only."""
    schema_file: Path
    """The JSON Schema of the payload, such as `gateway model export json-schema` writes it."""
    subject: Annotated[str, Field(min_length=1)] | None = None
    """The subject that it is registered under (default: the Kafka topic and `-value`)."""
    username: str | None = None
    """User name at the registry."""
    password: Secret | None = None
    """Where its password is stored."""

    @model_validator(mode="after")
    def _is_covered(self) -> Self:
        url = parse_url(self.url, ("http", "https"))
        if self.password is not None and url.scheme == "http" and not url.is_local:
            raise ValueError(f"the password would be sent unencrypted to {self.url}: use https://")
        return self


class KafkaConfig(Strict):
    """Kafka.  All messages go to one topic; those of one stream have one key, and so one partition, which keeps their
    order."""

    topic: TopicName = "factory"
    """The Kafka topic.  The topic of `payload.topic` is in the header `topic` of each record."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "lz4"
    """How batches are compressed."""
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How `username` and `password` are shown (SASL)."""
    token: Secret | None = None
    """Where a token is stored that something else renews, for SASL OAUTHBEARER instead of a password."""
    registry: RegistryConfig | None = None
    """The schema registry (default: none, and payloads are as they are)."""
