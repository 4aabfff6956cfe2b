"""Settings: what a run may be told, checked before it begins.

A setting is written in one place, its field in `settings`. The checks, the options of the command line, the tables of
the reference and the search space are derived from there.
"""
