"""A standstill: machines wait in a circle, each for room that only the next one could make.

Rework into full buffers causes it.  In a real plant somebody puts a part aside, and the line goes on.  So does the
default here (`standstill: swap`): the machine that closes the circle hands its part over without room, and all others
in the circle move up at the same instant.
"""

from simulators.flow.buffer import Buffer, Taker


def closes_circle(machine: Taker, outflow: Buffer) -> bool:
    """Whether every machine that could make room in `outflow` waits, directly or through others, for `machine`."""
    seen: set[Buffer] = set()
    asked, found = [outflow], False
    while asked:
        buffer = asked.pop()
        if buffer in seen:
            continue
        seen.add(buffer)
        for other in buffer.users:
            if other.can_take:
                return False
            if other is machine:
                found = True
            elif other.waits_for is None:
                return False
            else:
                asked.append(other.waits_for)
    return found
