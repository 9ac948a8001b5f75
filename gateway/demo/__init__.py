"""The demo: simulators, a broker and the gateway on this machine, all at once, with something to look at."""
