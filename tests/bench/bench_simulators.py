"""How fast the flow runs: simulated seconds per second of the 50-machine plant, and processor time per event.

    python -m tests.bench.bench_simulators [--json]

The yardstick is the bare kernel with the *same number of events*: fifty SimPy processes that do nothing but time-outs.
What the flow costs beyond it is states, accounts, failures, quality, buffers, pedigrees and the record of changes.
Flow and kernel alternate within one run, and the least of a few rounds counts, since others share this computer.
"""

import json
import sys
import time
from collections.abc import Generator
from pathlib import Path

import simpy

from simulators.flow import Factory
from simulators.plant import Plant, load

PLANT = Path(__file__).parents[2] / "config" / "plants" / "plant-50.yaml"
SIMULATED_S = 20_000.0
ROUNDS = 4
GOAL = 1000.0
CYCLE_S = 9.6


def events_of(plant: Plant) -> tuple[int, int]:
    """How many events the kernel steps through, and how many cycles the machines make."""
    factory, events = Factory(plant, seed=1, keeping=False), 0
    while factory.env.peek() < SIMULATED_S:
        factory.env.step()
        events += 1
    return events, sum(machine.cycles for machine in factory.machines)


def flow_s(plant: Plant, keeping: bool) -> float:
    """Processor seconds of the flow."""
    factory = Factory(plant, seed=1, keeping=keeping)
    start = time.process_time()
    while factory.now_s < SIMULATED_S:
        factory.run(factory.now_s + 100.0)
        factory.take_changes()
    return time.process_time() - start


def kernel_s(events: int, processes: int = 50) -> float:
    """Processor seconds of the bare kernel for so many events."""
    env = simpy.Environment()

    def wait(number: int) -> Generator[simpy.Event, object, None]:
        while True:
            yield env.timeout(CYCLE_S * (1 + 0.001 * number))

    for number in range(processes):
        env.process(wait(number))
    start = time.process_time()
    for _ in range(events):
        env.step()
    return time.process_time() - start


def main() -> None:
    """Print the figures."""
    plant = load(PLANT)
    events, cycles = events_of(plant)
    rounds = [(flow_s(plant, True), flow_s(plant, False), kernel_s(events)) for _ in range(ROUNDS)]
    kept, silent, kernel = (min(times) for times in zip(*rounds, strict=True))
    figures = {
        "machines": sum(s.machines for line in plant.lines for s in line.stations),
        "events": events,
        "cycles": cycles,
        "speed": round(SIMULATED_S / kept),
        "flow_us_per_event": round(1e6 * kept / events, 2),
        "flow_us_per_event_without_record": round(1e6 * silent / events, 2),
        "kernel_us_per_event": round(1e6 * kernel / events, 2),
        "flow_over_kernel": round(kept / kernel, 2),
        "goal": GOAL,
        "goal_met": SIMULATED_S / kept >= GOAL,
    }
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    print(f"{figures['machines']} machines, every change recorded: {figures['speed']:,} x real time (goal {GOAL:,.0f})")
    print(f"  {events:,} events for {cycles:,} cycles: {figures['flow_us_per_event']} us per event,")
    print(f"  without the record of changes {figures['flow_us_per_event_without_record']} us")
    print(f"  the bare kernel, as many events: {figures['kernel_us_per_event']} us per event")
    print(f"  the flow costs {figures['flow_over_kernel']} times the bare kernel")


if __name__ == "__main__":
    main()
