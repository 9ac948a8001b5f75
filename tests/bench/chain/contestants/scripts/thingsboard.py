"""ThingsBoard's gateway with somebody who answers it:  python thingsboard.py CONFIGURATION BROKER_PORT

At connecting the gateway asks its server for limits and waits for the answer; the answer is: none.
"""

import json
import sys
import threading
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

ASKED, ANSWERED = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
NO_LIMITS = {"maxPayloadSize": 1 << 20, "maxInflightMessages": 0, "rateLimits": {}, "gatewayRateLimits": {}}


def answer(port: int, ready: threading.Event) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)

    def on_message(_: object, __: object, message: Any) -> None:
        if json.loads(message.payload).get("method") == "getSessionLimits":
            client.publish(ANSWERED + message.topic.rpartition("/")[2], json.dumps(NO_LIMITS), qos=1)

    def on_connect(*_: object) -> None:
        client.subscribe(ASKED + "+")

    client.on_message, client.on_connect = on_message, on_connect
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", port)
    client.loop_forever()


def main(path: str, port: int) -> None:
    ready = threading.Event()
    threading.Thread(target=answer, args=(port, ready), daemon=True).start()
    ready.wait(30)
    from thingsboard_gateway.gateway.tb_gateway_service import TBGatewayService  # its own threads begin at import

    TBGatewayService(path)


main(sys.argv[1], int(sys.argv[2]))
