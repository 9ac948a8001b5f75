"""One client of an emulated cloud: reads its packets, asks the policy, obeys it."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from gateway.emulator import packets as mqtt
from gateway.emulator.cloud import Cloud, Taken
from gateway.emulator.policy import Admitted, Decision, Devices, Policy, RefusedError
from gateway.profiles import profile_named

CONNECT_WITHIN_S = 10.0


class Connection(asyncio.Protocol):
    """One client.  With `is_open` it is an onlooker, for whom no rule of the cloud holds."""

    def __init__(self, cloud: Cloud, *, is_open: bool = False) -> None:
        self._cloud = cloud
        self._policy = Policy(profile_named("generic"), Devices({})) if is_open else cloud.policy
        self._is_open = is_open
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._is_paused = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._arrivals: deque[float] = deque()
        self._unacknowledged = set[int]()
        self._received = set[int]()
        """Packet ids of QoS 2 messages between PUBLISH and PUBREL."""
        self._next_id = 0
        self._aliases = mqtt.Aliases(0)
        self.level = 4
        self.who: Admitted | None = None
        self.client_id = ""
        self.filters: dict[str, int] = {}
        self.will: mqtt.Will | None = None

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's do not inherit from asyncio's
        self._cloud.everyone.add(self)
        if self._cloud.is_away:
            self.abort()
            return
        self._later("connect", CONNECT_WITHIN_S, lambda: self.end(0x8D, "no CONNECT in time"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers.values():
            timer.cancel()
        cloud = self._cloud
        cloud.everyone.discard(self)
        if cloud.connections.get(self.client_id) is self:
            del cloud.connections[self.client_id]
        if self.will is not None and self.who is not None:
            will, self.will = self.will, None
            self._publish(mqtt.Publish(will.topic, will.payload, min(will.qos, 1), will.retain, 0))
            cloud.counts["wills"] += 1
        cloud.heard.set()

    # Reading.

    def _read(self) -> None:
        while not self._is_paused and self._transport is not None and not self._transport.is_closing():
            try:
                found = mqtt.split(self._buffer)
                if found is None:
                    return
                first, body, size = found
                self._buffer = self._buffer[size:]
                self._on_packet(first, body, size)
            except mqtt.MalformedError as error:
                self._cloud.tell("malformed", str(error))
                self.end(0x81, str(error))
                return

    def _on_packet(self, first: int, body: bytes, size: int) -> None:
        kind = first >> 4
        if (kind == mqtt.CONNECT) == (self.who is not None):
            raise mqtt.MalformedError(f"a packet of type {kind} at this moment")
        self._beat()
        match kind:
            case mqtt.CONNECT:
                self._on_connect(mqtt.read_connect(body))
            case mqtt.PUBLISH:
                self._on_publish(mqtt.read_publish(first, body, self.level, size))
            case mqtt.SUBSCRIBE:
                self._on_subscribe(*mqtt.read_subscribe(body, self.level))
            case mqtt.UNSUBSCRIBE:
                packet_id, names = mqtt.read_unsubscribe(body, self.level)
                codes = [0 if self.filters.pop(name, None) is not None else 0x11 for name in names]
                self._write(mqtt.suback(packet_id, self.level, codes, kind=11))
            case mqtt.PUBREL:
                packet_id = mqtt.Reader(body).number(2)
                self._received.discard(packet_id)
                self._write(mqtt.acknowledgement(mqtt.PUBCOMP, packet_id, self.level))
            case mqtt.PINGREQ:
                self._write(mqtt.PINGRESP)
            case mqtt.DISCONNECT:
                if not body or body[0] != 0x04:
                    self.will = None
                self._close()
            case mqtt.PUBACK | mqtt.PUBREC | mqtt.PUBCOMP:
                pass
            case _:
                raise mqtt.MalformedError(f"a packet of type {kind}")

    def _on_connect(self, connect: mqtt.Connect) -> None:
        cloud, profile = self._cloud, self._policy.profile
        self.level = connect.level if connect.level in (4, 5) else 4
        try:
            admitted = self._admitted(connect)
        except RefusedError as error:
            cloud.tell("refused", str(error))
            self._write(mqtt.connack(self.level, error.code(connect.level)))
            self._close()
            return
        name = connect.client_id or f"onlooker-{id(self)}"
        former = cloud.connections.get(name)
        if former is not None and profile.behaviour.takes_over:
            cloud.tell("kicked", f"a second connection of {connect.client_id}")
            former.end(0x8E, "another connection of this device")
        self.who, self.client_id, self.will = admitted, name, connect.will
        cloud.connections[name] = self
        if not self._is_open:
            cloud.counts["connects"] += 1
        most = int(profile.limit("topic_aliases") or 0)
        self._aliases = mqtt.Aliases(most)
        self._write(mqtt.connack(self.level, 0, self._announced(connect)))
        self._timers.pop("connect").cancel()
        self._keep_alive_s = float(connect.keep_alive_s)
        self._beat()
        if admitted.ends_s is not None:
            left_s = admitted.ends_s - time.time() - self._policy.offset_s
            self._later("expiry", left_s, self._expire)
        cloud.heard.set()

    def _admitted(self, connect: mqtt.Connect) -> Admitted:
        """Raises `RefusedError`.  An onlooker may come without a name."""
        if self._is_open and connect.level in (4, 5):
            return Admitted("")
        return self._policy.login(connect, time.time(), self._certificate())

    _keep_alive_s = 0.0

    def _announced(self, connect: mqtt.Connect) -> list[mqtt.Property]:
        profile, told = self._policy.profile, list[mqtt.Property]()
        for name, limit in (
            (mqtt.RECEIVE_MAXIMUM, "in_flight"),
            (mqtt.MAXIMUM_PACKET, "packet_bytes"),
            (mqtt.TOPIC_ALIAS_MAXIMUM, "topic_aliases"),
        ):
            if (value := profile.limit(limit)) is not None:
                told.append((name, int(value)))
        if (method := mqtt.first_of(connect.properties, mqtt.AUTH_METHOD)) is not None:
            told.append((mqtt.AUTH_METHOD, str(method)))
        longest, asked = profile.limit("session_expiry_max_s"), mqtt.first_of(connect.properties, mqtt.SESSION_EXPIRY)
        if longest is not None and isinstance(asked, int) and asked > longest:
            told.append((mqtt.SESSION_EXPIRY, int(longest)))
        if not connect.client_id:
            told.append((mqtt.ASSIGNED_CLIENT_ID, self.client_id))
        if (qos := profile.limit("qos")) is not None and qos < 2:
            told.append((mqtt.MAXIMUM_QOS, int(qos)))
        if not profile.allows("retain"):
            told.append((mqtt.RETAIN_AVAILABLE, 0))
        most = profile.limit("keep_alive_max_s")
        if most is not None and not 0 < connect.keep_alive_s <= most:
            told.append((mqtt.SERVER_KEEP_ALIVE, int(most)))
        return told

    def _certificate(self) -> str | None:
        """The common name in the client's certificate."""
        shown = self._transport.get_extra_info("peercert") if self._transport is not None else None
        for part in shown.get("subject", ()) if shown else ():
            for name, value in part:
                if name == "commonName":
                    return str(value)
        return None

    # Messages.

    def _on_publish(self, message: mqtt.Publish) -> None:
        message = replace(message, **self._aliases.resolved(message))  # type: ignore[arg-type]
        assert self.who is not None
        now_s, cloud = self._loop.time(), self._cloud
        if self._is_open:
            self._on_wish(message)
            self._acknowledge(message)
            return
        self._note(now_s, message)
        decision = self._policy.decide(self.who, message, now_s)
        if decision.action == "take" and time.monotonic() < cloud.busy_until_s:
            decision = Decision("refuse", "the cloud is busy", 0x97)
        match decision.action:
            case "take":
                self._take(message, decision)
            case "silence":
                cloud.tell("discarded", decision.text)
            case "refuse":
                cloud.tell("discarded" if self.level != 5 else "answered", decision.text)
                if self.level == 5:
                    self._acknowledge(message, decision.code, decision.text)
            case _:
                cloud.tell("closed", decision.text)
                self.end(decision.code, decision.text)

    def _on_wish(self, message: mqtt.Publish) -> None:
        """What an onlooker publishes: `desired/DEVICE` and `jobs/DEVICE/JOB` are for the cloud, all else for others."""
        levels = message.topic.split("/")
        try:
            body = json.loads(message.payload)
        except ValueError:
            body = None
        if isinstance(body, dict) and levels[0] == "desired" and len(levels) == 2:
            self._cloud.desire(levels[1], body)
        elif isinstance(body, dict) and levels[0] == "jobs" and len(levels) == 3:
            self._cloud.assign(levels[1], levels[2], body)
        else:
            self._publish(message)

    def _note(self, now_s: float, message: mqtt.Publish) -> None:
        """What the profile limits, as it came."""
        cloud = self._cloud
        self._arrivals.append(now_s)
        while self._arrivals[0] <= now_s - 1.0:
            self._arrivals.popleft()
        cloud.peak_per_s = max(cloud.peak_per_s, len(self._arrivals))
        if not message.qos:
            return
        self._unacknowledged.add(message.packet_id)
        cloud.peak_in_flight = max(cloud.peak_in_flight, len(self._unacknowledged))
        most = self._policy.profile.limit("in_flight")
        if most is not None and len(self._unacknowledged) > most:
            cloud.tell("closed", f"more than {most:g} publishes without a PUBACK")
            self.end(0x93, "more than the Receive Maximum")

    def _take(self, message: mqtt.Publish, decision: Decision) -> None:
        assert self.who is not None
        cloud = self._cloud
        is_repeat = message.qos == 2 and message.packet_id in self._received
        if not is_repeat:
            cloud.counts["taken"] += 1
            taken = Taken(
                self.who.device, message.topic, message.payload, decision.retain, message.properties, self._loop.time()
            )
            cloud.taken.append(taken)
            cloud.on_taken(taken)
            self._publish(replace(message, retain=decision.retain, properties=self._bounded(message.properties)))
            cloud.say(self.who.device, cloud.things.answers(self.who.device, message.topic, message.payload))
        if decision.wait_s > 0:
            cloud.counts["delayed"] += 1
            self._pause(decision.wait_s)
        self._acknowledge(message)
        cloud.heard.set()

    def _bounded(self, properties: tuple[mqtt.Property, ...]) -> tuple[mqtt.Property, ...]:
        """With a message expiry of what the cloud keeps messages for, at most."""
        longest = self._policy.profile.limit("message_expiry_max_s")
        if longest is None:
            return properties
        most = int(longest)
        return tuple(
            (name, min(value, most) if name == mqtt.MESSAGE_EXPIRY and isinstance(value, int) else value)
            for name, value in properties
        )

    def _acknowledge(self, message: mqtt.Publish, code: int = 0, reason: str = "") -> None:
        self._unacknowledged.discard(message.packet_id)
        if message.qos == 1:
            self._write(mqtt.acknowledgement(mqtt.PUBACK, message.packet_id, self.level, code, reason))
        elif message.qos == 2:
            self._received.add(message.packet_id)
            self._write(mqtt.acknowledgement(mqtt.PUBREC, message.packet_id, self.level, code, reason))

    def _pause(self, for_s: float) -> None:
        """Read no more for a time: what comes waits in the network."""
        assert self._transport is not None
        self._is_paused = True
        self._transport.pause_reading()

        def go_on() -> None:
            self._is_paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
                self._read()

        self._later("pause", for_s, go_on)

    def _publish(self, message: mqtt.Publish) -> None:
        if message.retain:
            if message.payload:
                self._cloud.retained[message.topic] = message
            else:
                self._cloud.retained.pop(message.topic, None)
        self._cloud.publish(replace(message, retain=False, qos=min(message.qos, 1)))

    def _on_subscribe(self, packet_id: int, asked: list[tuple[str, int]]) -> None:
        most = self._policy.profile.limit("subscriptions")
        codes = []
        for name, qos in asked:
            if not self._is_open and not self._policy.hears(self.who.device if self.who else "", name):
                self._cloud.tell("refused", f"a subscription to `{name}`")
                codes.append(0x87 if self.level == 5 else 0x80)
                continue
            if most is not None and len(self.filters) >= most and name not in self.filters:
                self._cloud.tell("refused", f"more than {most:g} subscriptions")
                codes.append(0x97 if self.level == 5 else 0x80)
                continue
            self.filters[name] = min(qos, 1)
            codes.append(min(qos, 1))
        self._write(mqtt.suback(packet_id, self.level, codes))
        for (name, _), code in zip(asked, codes, strict=True):
            if code < 0x80:
                for message in [m for topic, m in self._cloud.retained.items() if mqtt.matches(name, topic)]:
                    self.deliver(replace(message, retain=True))
        self._cloud.heard.set()

    def deliver(self, message: mqtt.Publish) -> bool:
        """Send a message, if it is subscribed to."""
        allowed = [qos for name, qos in self.filters.items() if mqtt.matches(name, message.topic)]
        if not allowed or self.who is None:
            return False
        qos = min(max(allowed), message.qos)
        if qos:
            self._next_id = self._next_id % 65_535 + 1
        self._write(mqtt.publish(replace(message, qos=qos, packet_id=self._next_id if qos else 0), self.level))
        return True

    # Times, and the end.

    def _beat(self) -> None:
        if self.who is not None and self._keep_alive_s:
            self._later("keep-alive", 1.5 * self._keep_alive_s, lambda: self.end(0x8D, "nothing within the keep-alive"))

    def _expire(self) -> None:
        self._cloud.tell("expired", f"the login of {self.client_id}")
        self.end(0x87, "the login has ended")

    def _later(self, name: str, after_s: float, then: Callable[[], None]) -> None:
        if (before := self._timers.pop(name, None)) is not None:
            before.cancel()
        self._timers[name] = self._loop.call_later(max(0.0, after_s), then)

    def end(self, code: int, reason: str) -> None:
        """End the connection, with a DISCONNECT where the version has one."""
        self._write(mqtt.disconnect(self.level, code, reason))
        self._close()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
