"""The dashboards, in the order in which people meet them: from the plant to the machine to the gateway."""

from docker.grafana.gateways import DELIVERY, FLEET, GATEWAY
from docker.grafana.groups import GROUP
from docker.grafana.plants import MACHINE, PLANT

BOARDS = (PLANT, MACHINE, GATEWAY, DELIVERY, FLEET, GROUP)
