"""How fast the flow runs: simulated seconds per second of the 50-machine plant, and processor time per event.

    python -m tests.bench.bench_simulators [--json]

The yardstick is the bare kernel with the *same number of events*: fifty SimPy processes that do nothing but time-outs.
What the flow costs beyond it is states, accounts, failures, quality, buffers, pedigrees and the record of changes.
Others share this computer, so the run is cut into slices of 100 s, which are the same work in each round: flow and
kernel alternate, and each slice counts with the least processor time that it took in any round.  A factor between the
two is what to compare between computers and versions; the microseconds are those of this one.
"""

import json
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

import simpy

from simulators.flow import Factory
from simulators.plant import Plant, load

PLANT = Path(__file__).parents[2] / "config" / "plants" / "plant-50.yaml"
SLICE_S = 100.0
SLICES = 60
SIMULATED_S = SLICE_S * SLICES
ROUNDS = 10
GOAL = 1000.0
CYCLE_S = 9.6


def events_of(plant: Plant) -> tuple[list[int], int]:
    """How many events the kernel steps through in each slice, and how many cycles the machines make."""
    factory, events = Factory(plant, seed=1, keeping=False), [0] * SLICES
    for number in range(SLICES):
        while factory.env.peek() < SLICE_S * (number + 1):
            factory.env.step()
            events[number] += 1
    return events, sum(machine.cycles for machine in factory.machines)


def flow_s(plant: Plant, keeping: bool) -> list[float]:
    """Processor seconds of the flow, by slice."""
    factory, found = Factory(plant, seed=1, keeping=keeping), []
    for number in range(SLICES):
        start = time.process_time()
        factory.run(SLICE_S * (number + 1))
        factory.take_changes()
        found.append(time.process_time() - start)
    return found


def kernel_s(events: list[int], processes: int = 50) -> list[float]:
    """Processor seconds of the bare kernel for so many events, by slice."""
    env, found = simpy.Environment(), []

    def wait(number: int) -> Generator[simpy.Event, object, None]:
        while True:
            yield env.timeout(CYCLE_S * (1 + 0.001 * number))

    for number in range(processes):
        env.process(wait(number))
    for count in events:
        start = time.process_time()
        for _ in range(count):
            env.step()
        found.append(time.process_time() - start)
    return found


def least(rounds: Sequence[list[float]]) -> float:
    """The seconds of all slices, each with its least."""
    slices: Iterable[tuple[float, ...]] = zip(*rounds, strict=True)
    return sum(map(min, slices))


def main() -> None:
    """Print the figures."""
    plant = load(PLANT)
    by_slice, cycles = events_of(plant)
    events = sum(by_slice)
    rounds = [(flow_s(plant, True), flow_s(plant, False), kernel_s(by_slice)) for _ in range(ROUNDS)]
    kept, silent, kernel = (least(times) for times in zip(*rounds, strict=True))
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
