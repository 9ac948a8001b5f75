"""Profiles of clouds and brokers: what each accepts, as data with source and date, and few functions over it.

`table` is the form of a profile, the YAML files here are the profiles, `find` reads them and a user's own.  `names`
fills in client ids, user names and topics, `signing` makes passwords, `wire` says what a message looks like at the
cloud, and `bucket` keeps a rate.  All of it is pure but for the reading of files.  The sender (`gateway/mqtt`), the
checks (`gateway/payload/clouds.py`, `gateway/cloud_load.py`) and the emulator (`gateway/emulator`) work from the same
tables.
"""

from gateway.profiles.find import names_of_profiles, profile_named
from gateway.profiles.table import Profile

__all__ = ["Profile", "names_of_profiles", "profile_named"]
