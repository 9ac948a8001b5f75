"""What people may do on the live page.  Each act has two lines in the audit: before it, and with its outcome."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from gateway.commands.audit import ACTS, AuditFile
from gateway.commands.forms import instant_of
from gateway.errors import ConfigError, Rejected, Unavailable
from gateway.in_thread import in_thread
from gateway.outbox import Files
from gateway.run.gateway import Gateway
from gateway.run.source_unit import Waiting, reject_certificate, trust_certificate, waiting_certificates

AUDIT_BYTES = 16 * 2**20
"""How long the audit of acts becomes; older lines are removed."""


class Acts:
    """The acts on one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._one = asyncio.Lock()
        """One act at a time, so that the audit is in order."""

    async def trust(self, thumbprint: str, who: str) -> str:
        """Trust a waiting certificate.  Raises `Rejected` when none has this thumbprint."""
        return await self._certificate("trust", trust_certificate, thumbprint, who)

    async def reject(self, thumbprint: str, who: str) -> str:
        """Refuse a waiting certificate for good.  Raises `Rejected` when none has this thumbprint."""
        return await self._certificate("reject", reject_certificate, thumbprint, who)

    async def _certificate(self, act: str, do: Callable[[Waiting], None], thumbprint: str, who: str) -> str:
        async def done() -> str:
            waiting = await in_thread(partial(_waiting, folders_of(self._gateway), thumbprint), "find a certificate")
            for each in waiting:
                await in_thread(partial(_on_disk, partial(do, each)), f"{act} a certificate")
            return f"{waiting[0].name} is {'trusted' if act == 'trust' else 'refused'}"

        return await self._audited(act, thumbprint.lower(), who, done)

    async def release(self, broker: str, who: str) -> str:
        """Offer the refused messages of a broker again now.  Raises `Rejected` when there is no such broker."""

        async def done() -> str:
            queue = self._gateway.queues.get(broker)
            if queue is None:
                raise Rejected("unknown", f"no broker is named {broker}")
            count = queue.refused_reader.messages
            queue.release()
            return f"{count} refused messages are offered to {broker} again"

        return await self._audited("release", broker, who, done)

    async def reload(self, who: str) -> str:
        """Take the configuration file anew.  Raises `ConfigError` or `Unavailable`: nothing has changed."""

        async def done() -> str:
            reload = self._gateway.reload
            if reload is None or reload.read is None:
                raise Rejected("unsupported", "this gateway has no configuration file to take anew")
            told = await reload.take()
            return "; ".join(f"{kind}: {names}" for kind, names in told.items())

        return await self._audited("reload", "", who, done)

    async def _audited(self, act: str, on: str, who: str, do: Callable[[], Awaitable[str]]) -> str:
        async with self._one:
            await self._note(act, on, who, "accepted")
            try:
                told = await do()
            except (Rejected, ConfigError, Unavailable) as error:
                await self._note(act, on, who, "refused", str(error))
                raise
            await self._note(act, on, who, "done", told)
            return told

    async def _note(self, act: str, on: str, who: str, outcome: str, detail: str = "") -> None:
        record = {
            "time": instant_of(time.time_ns()), "requester": f"page {who}".rstrip(), "source": "_gateway",
            "operation": act, "asked": [on] if on else [], "outcome": outcome, "detail": detail[:2000],
        }  # fmt: skip
        folder = self._gateway.config.outbox.path / ACTS
        try:
            await in_thread(partial(_append, folder, record), "note an act")
        except OSError as error:
            raise Unavailable(f"the audit cannot be written: {error.strerror or error}") from error


def folders_of(gateway: Gateway) -> list[Path]:
    """The folders of certificates of its sources, each once."""
    return list(dict.fromkeys(each.security.pki for each in gateway.config.sources if each.security is not None))


def _waiting(folders: Sequence[Path], thumbprint: str) -> list[Waiting]:
    found = [each for each in waiting_certificates(folders) if each.thumbprint == thumbprint.lower()]
    if not found:
        raise Rejected("unknown", "no certificate with this thumbprint waits")
    return found


def _on_disk(do: Callable[[], None]) -> None:
    try:
        do()
    except OSError as error:
        raise Unavailable(f"the certificates cannot be changed: {error.strerror or error}") from error


def _append(folder: Path, record: Mapping[str, object]) -> None:
    """One more line of the audit, on the disk.  Blocks.  Raises `OSError`."""
    files = Files()
    files.make_folder(folder)
    audit = AuditFile(files, folder, AUDIT_BYTES)
    audit.open()
    try:
        audit.append([{"seq": audit.seq + 1, **record}])
    finally:
        audit.close()
