"""When a line comes to a standstill: machines that wait in a circle, each for room that only the next could make.

Rework into full buffers does it.  In a plant somebody puts a part aside, and the line goes on; so does the default here
(`standstill: swap`): the machine that closes the circle hands its part over although there is no room, and all others
of the circle move up at the same instant.
"""

from simulators.flow.buffer import Buffer, Taker


def closes_circle(machine: Taker, outflow: Buffer) -> bool:
    """Whether all who could make room in `outflow` wait for room themselves, in the end for that of `machine`."""
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
