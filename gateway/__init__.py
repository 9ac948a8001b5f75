"""The edge gateway: it delivers every change of OPC UA servers to MQTT brokers, and loses none in silence."""
