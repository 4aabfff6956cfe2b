"""Headings that the options of the command line are grouped under, in the order of the help."""

from __future__ import annotations

from certero.sentences import message

DATA = message("Data")
SPLIT = message("Split")
NETWORK = message("Network")
TRAINING = message("Recipes that train a network")
MONEY = message("Case and threshold")
OUTPUT = message("Output")
WORK = message("Work")
PANELS = (DATA, SPLIT, NETWORK, TRAINING, MONEY, WORK, OUTPUT)
