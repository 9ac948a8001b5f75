"""A reader of events: the CloudEvents SDK behind the MQTT protocol binding."""

import json
from collections.abc import Iterable

import jsonschema
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from gateway.payload.cloudevents import events_schema

_VALIDATOR = jsonschema.Draft202012Validator(events_schema())


def read_event(payload: bytes, content_type: str, properties: Iterable[tuple[str, str]] = ()) -> CloudEvent:
    """As a subscriber makes it: 3.1 of the binding for binary mode, 3.2 for structured.

    With MQTT 3.1.1 nobody tells the content type: the binding leaves structured mode only.
    """
    if content_type.startswith("application/cloudevents"):
        _VALIDATOR.validate(json.loads(payload))
    else:
        pairs = list(properties)
        attributes: dict[str, object] = {**dict(pairs), "datacontenttype": content_type}
        assert len(attributes) == len(pairs) + 1
        payload = json.dumps({**attributes, "data": json.loads(payload)}).encode()
    event = JSONFormat().read(CloudEvent, payload)
    assert isinstance(event, CloudEvent)
    return event
