"""Finished cars on the road: each publishes signals of the COVESA Vehicle Signal Specification over MQTT with its VIN.

So what was built (part results, software, defects) can be joined with how it drives.  A car is what its line made of
it: a bad version that it left with shows as a fault code.  Speed, distance and charge are functions of simulated time,
so a car says the same at every rate of publishing.  One connection serves all cars.  At most as many drive as asked
for; the oldest are parked then.
"""

from simulators.vehicles.car import Car, car_of, vss
from simulators.vehicles.road import BrokerAt, Road, broker_at, drive

__all__ = ["BrokerAt", "Car", "Road", "broker_at", "car_of", "drive", "vss"]
