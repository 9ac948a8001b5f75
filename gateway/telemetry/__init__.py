"""What the gateway tells of itself by OpenTelemetry.

`traces.py` looks at one batch in a thousand on its way, `waiting.py` bounds what waits for the collector, `sending.py`
is the loop that sends, and `export.py` alone knows the SDK: without `opentelemetry:` in the configuration it is not
imported, and the loops of the gateway are those without a trace.
"""
