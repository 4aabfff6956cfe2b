"""Example cases that ship with certero: `certero value --case NAME`."""
