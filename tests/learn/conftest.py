"""All of this room imports torch, which the [networks] extra brings."""

from certero.machine.libraries import is_installed

if not is_installed("torch"):
    collect_ignore_glob = ["test_*.py", "kernels/test_*.py"]
