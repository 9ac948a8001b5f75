"""The demo: simulators, a broker and the gateway, all on this machine, with a live display."""
