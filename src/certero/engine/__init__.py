"""Maps work over the cores of this machine."""
