"""A key of a NATS KV bucket.  Each look is a connection of its own: it is one in a minute."""

import ssl

import nats
import nats.errors
import nats.js.errors

from gateway.errors import Unavailable
from gateway.nkeys import callbacks
from gateway.pull.origin import APPROVED, limited
from gateway.pull.settings import PullConfig
from gateway.tls import context
from gateway.urls import parse_url


class NatsOrigin:
    """One key."""

    def __init__(self, config: PullConfig) -> None:
        self._config = config
        self._url = parse_url(config.origin, ("nats-kv",))
        _, self._bucket, self._key = self._url.path.split("/")

    async def read(self) -> bytes:
        found = await self._get(self._key)
        if found is None:
            raise Unavailable(f"{self._url}: the bucket has no such key")
        return found

    async def approved(self) -> bytes:
        return await self._get(f"{self._key}{APPROVED}") or b""

    async def _get(self, key: str) -> bytes | None:
        config = self._config
        tls: ssl.SSLContext | None = context(config.tls) if config.tls is not None else None

        jwt, signature = callbacks(config.credentials.file if config.credentials is not None else None)

        async def told(error: Exception) -> None:
            """`connect` raises it."""

        try:
            client = await nats.connect(
                f"{'tls' if tls else 'nats'}://{self._url.host}:{self._url.port}", tls=tls, allow_reconnect=False,
                max_reconnect_attempts=1, reconnect_time_wait=0, connect_timeout=config.timeout, error_cb=told,
                user_jwt_cb=jwt, signature_cb=signature,
            )  # fmt: skip
            try:
                bucket = await client.jetstream(timeout=config.timeout).key_value(self._bucket)
                entry = await bucket.get(key)
                return limited(entry.value or b"", config.max_bytes, str(self._url))
            except nats.js.errors.KeyNotFoundError:
                return None
            finally:
                await client.close()
        except nats.js.errors.NotFoundError as error:
            raise Unavailable(f"{self._url}: there is no bucket {self._bucket}") from error
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise Unavailable(f"{self._url}: NATS: {error or type(error).__name__}") from error
