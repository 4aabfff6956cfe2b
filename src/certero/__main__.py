"""`python -m certero` is the command `certero`."""

from certero.cli.main import run

if __name__ == "__main__":
    run()
