"""Sequence numbers of notifications (Part 4, 7.26): 1 to 2**32 - 1, then 1 again; 0 means none yet."""

_NUMBERS = 2**32 - 1


def successor(number: int) -> int:
    return number % _NUMBERS + 1


def predecessor(number: int) -> int:
    return (number - 2) % _NUMBERS + 1


def distance(last: int, number: int) -> int:
    """How far `number` is ahead of `last`: 1 is the next, 0 the same, negative an earlier one."""
    ahead = (number - last) % _NUMBERS
    return ahead if ahead <= _NUMBERS // 2 else ahead - _NUMBERS


def between(last: int, number: int, most: int) -> list[int]:
    """The numbers after `last` and before `number`, in order, at most `most` of them."""
    missing = []
    following = successor(last)
    for _ in range(min(distance(last, number) - 1, most)):
        missing.append(following)
        following = successor(following)
    return missing
