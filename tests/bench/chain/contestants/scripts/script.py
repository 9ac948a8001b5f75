"""What a person writes with asyncua and aiomqtt:  python script.py URL VARIABLES BROKER_PORT response|value [PKI]

`response`: the subscription as an iterator; what is there becomes one message of up to 1000 values, 20 under way.
`value`: a subscription handler, one message per value, 20 tasks that publish.  QoS 1, MQTT 5.
"""

import asyncio
import sys
from typing import Any

import aiomqtt
import orjson
from asyncua import Client, ua
from asyncua.common.subscription import Subscription

URL, COUNT, PORT, MODE = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
PKI = sys.argv[5] if len(sys.argv) > 5 else None
AT_ONCE, UNDER_WAY, INTERVAL_MS = 1000, 20, 100.0


def told(node: Any, value: object, data: Any) -> dict[str, object]:
    seen = data.monitored_item.Value
    time = seen.SourceTimestamp.isoformat()
    return {
        "name": node.nodeid.Identifier, "value": value, "time": time if time.endswith("+00:00") else time + "Z",
        "status": seen.StatusCode.value if seen.StatusCode else 0,
    }  # fmt: skip


class Handler:
    def __init__(self, queue: "asyncio.Queue[dict[str, object]]") -> None:
        self.queue = queue

    def datachange_notification(self, node: Any, value: object, data: Any) -> None:
        self.queue.put_nowait(told(node, value, data))


async def subscribe(client: Client, subscription: Any) -> None:
    nodes = [client.get_node(ua.NodeId(ua.String(f"v{number:06}"), ua.Int16(2))) for number in range(COUNT)]
    for first in range(0, COUNT, AT_ONCE):
        await subscription.subscribe_data_change(nodes[first : first + AT_ONCE], queuesize=1000)


async def per_value(client: Client, mqtt: aiomqtt.Client) -> None:
    queue: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    await subscribe(client, await client.create_subscription(INTERVAL_MS, Handler(queue)))

    async def publish() -> None:
        while True:
            await mqtt.publish("bench/python", orjson.dumps(await queue.get()), qos=1)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(UNDER_WAY):
            tasks.create_task(publish())


async def per_response(client: Client, mqtt: aiomqtt.Client) -> None:
    wanted = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=INTERVAL_MS, RequestedLifetimeCount=10_000, RequestedMaxKeepAliveCount=50,
        MaxNotificationsPerPublish=0, PublishingEnabled=True,
    )  # fmt: skip
    subscription = Subscription(client.uaclient.session, wanted, None, queue_maxsize=10_000_000)
    await subscription.init()
    await subscribe(client, subscription)
    events: Any = subscription._event_queue
    under_way = asyncio.Semaphore(UNDER_WAY)

    async def send(payload: bytes) -> None:
        try:
            await mqtt.publish("bench/python", payload, qos=1)
        finally:
            under_way.release()

    async with asyncio.TaskGroup() as tasks:
        while True:
            taken = [await events.get()]
            while len(taken) < AT_ONCE and not events.empty():
                taken.append(events.get_nowait())
            values = [told(event.node, event.value, event.data) for event in taken]
            await under_way.acquire()
            tasks.create_task(send(orjson.dumps({"values": values})))


async def main() -> None:
    client = Client(URL, timeout=60)
    if PKI:
        parts = (
            "Basic256Sha256",
            "SignAndEncrypt",
            *(f"{PKI}/{name}" for name in ("client.der", "client.pem", "server.der")),
        )
        await client.set_security_string(",".join(parts))
        client.application_uri = "urn:load:client"
    async with aiomqtt.Client("127.0.0.1", PORT, protocol=aiomqtt.ProtocolVersion.V5) as mqtt, client:
        mqtt.pending_calls_threshold = 10**9
        await (per_value if MODE == "value" else per_response)(client, mqtt)


asyncio.run(main())
