"""Configurations of other programs, as configurations of this gateway.

    file ─ files.py, bounded ─► one file per format ─► `Imported` ─ writing.py ─► commented YAML, which `validate` takes

Every field of a format is in its table: it becomes a setting, or it is told why it has no meaning here.  A field that
the table does not know is told as well; nothing is left out in silence.  Passwords are never copied: the configuration
names an environment variable for each.
"""
