"""`simulators improve`: what data of a factory can win, honestly: by better decisions at unchanged speed.

A program that sees messages alone (`messages.py`, `observe.py`) finds the bottleneck of each line (`bottleneck.py`),
proposes set-points (`propose.py`), and looks again after they are applied (`learn.py`).  What it found is then judged
on other seeds, before and after with common random numbers, beside random guesses (`compare.py`, `picture.py`).

The messages are those that the gateway delivers: names as of the OPC UA variables, values, source times.  `learn.py`
takes them from the flow directly, because a year of simulated time passes no broker in a minute; a test holds that the
same observation comes out of a real broker's messages.
"""

from simulators.improve.compare import Gain, Guesses, compare, guess
from simulators.improve.learn import Plan, learn
from simulators.improve.messages import Message, messages_in
from simulators.improve.observe import Observed
from simulators.improve.picture import picture
from simulators.improve.propose import Setting, proposals
from simulators.improve.report import Effort, improve

__all__ = [
    "Effort", "Gain", "Guesses", "Message", "Observed", "Plan", "Setting",
    "compare", "guess", "improve", "learn", "messages_in", "picture",
    "proposals",
]  # fmt: skip
