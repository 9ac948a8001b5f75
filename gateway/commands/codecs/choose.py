"""The list of all codecs: the only place that knows them all."""

from collections.abc import Mapping

from gateway.commands.codec import Codec
from gateway.commands.codecs.actions import ACTIONS
from gateway.commands.codecs.iot_hub import IOT_HUB
from gateway.commands.codecs.iotda import IOTDA
from gateway.commands.codecs.native import NATIVE
from gateway.commands.codecs.omp import OMP
from gateway.commands.codecs.opc_publisher import OPC_PUBLISHER
from gateway.commands.codecs.sparkplug import SPARKPLUG

CODECS: Mapping[str, Codec] = {
    "native": NATIVE,
    "omp": OMP,
    "opc-publisher": OPC_PUBLISHER,
    "opcua-actions": ACTIONS,
    "sparkplug": SPARKPLUG,
    "iot-hub": IOT_HUB,
    "iotda": IOTDA,
}


def codec_of(name: str) -> Codec:
    """The codec of this name; the gateway's own for one that this version has not got."""
    return CODECS.get(name, NATIVE)
