"""How fast the flow runs: simulated seconds per second of the 50-machine plant, on one core, no server.

    python -m tests.bench.bench_simulators [--json]

Beside it, as a yardstick of this computer, the same 50 machines as bare SimPy processes that do nothing but time-outs
and stores: no states, no accounts, no failures, no quality, no record of changes.  Goal: 1 000 x real time.
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
ROUNDS = 3
GOAL = 1000.0


def flow_speed(plant: Plant, keeping: bool) -> tuple[float, int]:
    """Simulated seconds per second of processor time, and cycles made."""
    factory = Factory(plant, seed=1, keeping=keeping)
    start = time.process_time()
    while factory.now_s < SIMULATED_S:
        factory.run(factory.now_s + 100.0)
        factory.take_changes()
    return SIMULATED_S / (time.process_time() - start), sum(machine.cycles for machine in factory.machines)


def bare_speed(lines: int, machines: int, cycle_s: float) -> float:
    """The same for bare processes and stores."""
    env = simpy.Environment()

    def work(before: simpy.Store, after: simpy.Store, name: int) -> Generator[simpy.Event, object, None]:
        while True:
            part = yield before.get()
            yield env.timeout(cycle_s * (1 + 0.01 * (name % 7)))
            yield after.put(part)

    for _ in range(lines):
        stores = [simpy.Store(env, 4) for _ in range(machines + 1)]
        env.process(_feed(stores[0]))
        env.process(_drain(stores[-1]))
        for name in range(machines):
            env.process(work(stores[name], stores[name + 1], name))
    start = time.process_time()
    env.run(SIMULATED_S)
    return SIMULATED_S / (time.process_time() - start)


def _feed(store: simpy.Store) -> Generator[simpy.Event, object, None]:
    while True:
        yield store.put(object())


def _drain(store: simpy.Store) -> Generator[simpy.Event, object, None]:
    while True:
        yield store.get()


def main() -> None:
    """Print the figures; the best of a few rounds, since others share this computer."""
    plant = load(PLANT)
    kept, cycles = max(flow_speed(plant, keeping=True) for _ in range(ROUNDS))
    silent, _ = max(flow_speed(plant, keeping=False) for _ in range(ROUNDS))
    bare = max(bare_speed(5, 10, 9.6) for _ in range(ROUNDS))
    figures = {
        "machines": sum(s.machines for line in plant.lines for s in line.stations),
        "speed": round(kept),
        "speed_without_record": round(silent),
        "cycles_per_s": round(cycles * kept / SIMULATED_S),
        "bare_simpy_speed": round(bare),
        "share_of_bare_simpy": round(kept / bare, 3),
        "goal": GOAL,
        "goal_met": kept >= GOAL,
    }
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    print(f"{figures['machines']} machines, every change recorded: {kept:,.0f} x real time (goal {GOAL:,.0f})")
    print(f"  without the record of changes:  {silent:,.0f} x")
    print(f"  cycles of machines per second:  {figures['cycles_per_s']:,}")
    print(f"  bare SimPy, stores and time-outs: {bare:,.0f} x; the flow reaches {100 * kept / bare:.0f} % of it")


if __name__ == "__main__":
    main()
