"""The list of all codecs: the only place that knows them all."""

from collections.abc import Mapping

from gateway.commands.codec import Codec
from gateway.commands.codecs.actions import ACTIONS
from gateway.commands.codecs.alibaba import ALIBABA
from gateway.commands.codecs.aws_jobs import AWS_JOBS
from gateway.commands.codecs.aws_shadow import AWS_SHADOW
from gateway.commands.codecs.iot_hub import IOT_HUB
from gateway.commands.codecs.iot_hub_twin import IOT_HUB_TWIN
from gateway.commands.codecs.iotda import IOTDA
from gateway.commands.codecs.iotda_properties import IOTDA_PROPERTIES
from gateway.commands.codecs.native import NATIVE
from gateway.commands.codecs.omp import OMP
from gateway.commands.codecs.opc_publisher import OPC_PUBLISHER
from gateway.commands.codecs.sparkplug import SPARKPLUG
from gateway.commands.codecs.tencent import TENCENT

CODECS: Mapping[str, Codec] = {
    "native": NATIVE,
    "omp": OMP,
    "opc-publisher": OPC_PUBLISHER,
    "opcua-actions": ACTIONS,
    "sparkplug": SPARKPLUG,
    "iot-hub": IOT_HUB,
    "iot-hub-twin": IOT_HUB_TWIN,
    "iotda": IOTDA,
    "iotda-properties": IOTDA_PROPERTIES,
    "aws-shadow": AWS_SHADOW,
    "aws-jobs": AWS_JOBS,
    "tencent": TENCENT,
    "alibaba": ALIBABA,
}


def codec_of(name: str) -> Codec:
    """The codec of this name; the gateway's own for one that this version has not got."""
    return CODECS.get(name, NATIVE)
