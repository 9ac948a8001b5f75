"""The lines that people type: names, options and help of commands, without what does the work.

Help and completion import these alone.  A command imports its work when it is run: the module of the same name in
`gateway/cli`.
"""
