"""The licences of what is installed beside this Python, one line each: `python -m release.installed > LICENCES.txt`.

The images carry it: they distribute libraries of others, among them some under the LGPL, with their texts beside them
(`*.dist-info`).
"""

import sys
from importlib.metadata import distributions

from release.materials import licences

NOT_SHIPPED = {"pip", "setuptools", "wheel"}

if __name__ == "__main__":
    found = {each.name.lower(): {"metadata": each.metadata.json} for each in distributions()}
    sys.stdout.write(licences({"install": [each for name, each in found.items() if name not in NOT_SHIPPED]}))
