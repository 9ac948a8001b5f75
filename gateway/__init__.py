"""The edge gateway: every change of an OPC UA server, delivered to an MQTT broker, none lost in silence."""
