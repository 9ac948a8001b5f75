"""`gateway emulate`."""

import asyncio
import os
import ssl
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import typer

from gateway.cli.common import problems_told, until_stopped
from gateway.emulator.broker import Emulated, emulated
from gateway.emulator.policy import Devices
from gateway.emulator.provisioning import Service, provisioning
from gateway.errors import EXIT_CANNOT_WRITE, EXIT_UNAVAILABLE, ConfigError
from gateway.profiles import Profile, profile_named, signing

KEY = "DEVICE_KEY"
EXAMPLE_KEY = "ZW11bGF0ZWQga2V5IGZvciB0cmFpbmluZyBvbmx5ISE="
"""Base64, as Azure and Tencent want it.  Huawei and Alibaba take it as it is."""
EVERY_S = 2.0
TOKEN_S = 3600.0


def emulate(
    profile: str,
    port: int,
    watch_port: int,
    device: list[str] | None,
    endpoint: str | None,
    product: str,
    clock: float,
    certificate: Path | None,
    ca: Path | None,
    token: Path | None,
    scope: str,
) -> None:
    """Be a cloud, on this machine: a broker that takes, throws away, delays and refuses as that cloud does."""
    with problems_told():
        found = profile_named(profile)
        signs = token is not None or found.login.password not in ("none", "any")
        key = os.environ.get(KEY) or EXAMPLE_KEY if signs else ""
        host = endpoint or _host(found, product)
        devices = Devices(dict.fromkeys(device or ["edge-1"], key), host, product)
        told = Told(token, scope)
        until_stopped(
            partial(_serve, found, devices, port, watch_port, clock, _tls(certificate, ca), told), lambda: 1.0
        )


@dataclass(frozen=True, slots=True)
class Told:
    """What else the emulator is asked for."""

    token: Path | None = None
    scope: str = ""


def _host(profile: Profile, product: str) -> str:
    """An address of the form that the cloud has."""
    parts = profile.endpoint.split(".", 1)
    return f"{product}.{parts[1]}".replace("<region>", "region") if len(parts) == 2 else "localhost"


def _tls(certificate: Path | None, ca: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate)
        if ca is not None:
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"{certificate}: {error}"]) from error
    return context


async def _serve(
    profile: Profile, devices: Devices, port: int, watch_port: int, clock_s: float, tls: ssl.SSLContext | None,
    told: Told, stop: asyncio.Event,
) -> None:  # fmt: skip
    async with AsyncExitStack() as stack:
        try:
            running = await stack.enter_async_context(
                emulated(profile, devices, port=port, watch_port=watch_port, tls=tls, offset_s=clock_s)
            )
            service = Service(devices, told.scope)
            if told.scope:
                await stack.enter_async_context(provisioning(service, tls=tls))
        except OSError as error:
            raise ConfigError([f"cannot listen: {error.strerror}"], EXIT_UNAVAILABLE) from error
        typer.echo(section_for(profile, devices, running, told, service.port, is_tls=tls is not None))
        renewed_s = -TOKEN_S
        while not stop.is_set():
            started_s = time.monotonic()
            if told.token is not None and started_s - renewed_s > TOKEN_S / 2:
                renewed_s = started_s
                _write_token(told.token, devices)
            try:
                async with asyncio.timeout(EVERY_S):
                    await stop.wait()
            except TimeoutError:
                _tell(running, started_s)


def _write_token(path: Path, devices: Devices) -> None:
    [name, *_] = devices.keys
    made = signing.web_token({"sub": name, "exp": int(time.time() + TOKEN_S)}, devices.keys[name])
    try:
        path.touch(mode=0o600)
        path.write_text(made)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"], EXIT_CANNOT_WRITE) from error


def section_for(
    profile: Profile, devices: Devices, running: Emulated, told: Told = Told(), service_port: int = 0, *, is_tls: bool
) -> str:
    """The section of a gateway's configuration that connects to it."""
    [name, *_] = devices.keys
    lines = [
        f"{profile.title}, emulated.  The section for a gateway's configuration:",
        "",
        "broker:",
        f"  profile: {profile.name}",
        *([] if told.scope else [f"  endpoint: {devices.host}"]),
        f"  url: {'mqtts' if is_tls else 'mqtt'}://127.0.0.1:{running.port}   # here, instead of the endpoint",
        f"  device: {name}",
    ]
    if "{product}" in profile.login.client_id + (profile.login.username or "") + profile.topics.publish:
        lines.append(f"  product: {devices.product}")
    if told.token is not None:
        lines.append(f"  credentials: {{token: {{file: {told.token}}}}}")
    elif devices.keys[name]:
        lines.append(f"  credentials:   # export {KEY}={devices.keys[name]}")
        lines.append(f"    key: {{env: {KEY}}}")
    if told.scope:
        address = f"http{'s' if is_tls else ''}://127.0.0.1:{service_port}"
        lines.append(f"    provisioning: {{scope: {told.scope}, endpoint: '{address}'}}")
    return "\n".join([*lines, "", f"What came:  gateway watch mqtt://127.0.0.1:{running.watch_port} '#'", ""])


def _tell(running: Emulated, since_s: float) -> None:
    cloud = running.cloud
    recent = sum(each.at_s >= since_s for each in cloud.taken)
    told = ", ".join(f"{count} {what}" for what, count in cloud.counts.items())
    typer.echo(f"{recent / EVERY_S:g} messages/s, at most {cloud.peak_per_s} in a second; {told or 'nobody came yet'}")
    while cloud.told:
        typer.echo(f"  {cloud.told.popleft()}")
