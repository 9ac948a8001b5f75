"""What a client of the test server would have to write by hand: `published_nodes.json`, and a configuration of the
gateway.  Both name every variable below `TestNodes` by its namespace URI."""

from collections.abc import Sequence

import orjson


def published_nodes(url: str, node_ids: Sequence[str], *, secure: bool) -> bytes:
    """The file of OPC Publisher.  `node_ids` with namespace URIs."""
    nodes = [{"Id": node_id, "OpcPublishingInterval": 1000, "OpcSamplingInterval": 500} for node_id in node_ids]
    entry = {
        "DataSetWriterGroup": "test-server", "EndpointUrl": url, "UseSecurity": secure, "OpcNodes": nodes,
    }  # fmt: skip
    return orjson.dumps([entry], option=orjson.OPT_INDENT_2)


def gateway_config(url: str, root: str, *, secure: bool) -> bytes:
    """A configuration of the gateway in this repository that delivers all of it to a broker on this machine."""
    security = "    security: {}" if secure else "    insecure: true"
    text = f"""\
name: test
sources:
  - name: test-server
    url: {url}
{security}
    publishing_interval: 500ms
    select:
      - subtree: {root}
broker:
  url: mqtt://127.0.0.1:1883
payload:
  topic: test
"""
    return text.encode()
