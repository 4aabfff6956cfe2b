"""The entry point: finds the verb, imports that verb alone, and turns exceptions into one line and an exit code."""

from __future__ import annotations

import sys
from importlib import import_module

#: Each verb is the function `command` of the module of its name. The help needs no import of any of them.
VERBS = {
    "demo": "Render a small synthetic barn, train on it and report: a first look in a minute.",
    "train": "Audit, split, train, calibrate, evaluate once, export and report.",
    "evaluate": "The honest figures of a model on other labelled photos.",
    "predict": "Label photos: a table, CSV, JSON or JSON Lines.",
}

EXIT_FAULT = 1
EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130


def run() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Runs one command and returns its exit code: 0 done, 1 our fault, 2 the user's mistake, 130 Ctrl-C."""
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(_help())
        return 0
    if arguments[0] in ("--version", "-V"):
        from certero.config import version

        print(f"certero {version()}")
        return 0
    verb = arguments[0]
    if verb not in VERBS:
        return _fail(f"the first word must be one of {', '.join(VERBS)}; found {verb!r}.{_suggest(verb)}", EXIT_MISTAKE)
    return _call(verb, arguments[1:])


def _call(verb: str, arguments: list[str]) -> int:
    from certero.errors import CerteroError

    try:
        code = _app(verb)(arguments, prog_name=f"certero {verb}", standalone_mode=True)
    except SystemExit as stop:
        code = stop.code
    except CerteroError as error:
        return _fail(f"{type(error).__name__}: {error}", error.exit_code)
    except KeyboardInterrupt:
        return _fail("Interrupted. What was computed is remembered: run the same command again to go on.", 130)
    except BrokenPipeError:
        # The reader of our output (head, less) has left; nobody is there to be told.
        _silence_stdout()
        return EXIT_FAULT
    except Exception as error:
        return _fault(error)
    return code if isinstance(code, int) else 0


def _app(verb: str):  # type: ignore[no-untyped-def]
    import typer

    # Plain help: importing Rich for its boxes would double the time to the first line.
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name=verb)(import_module(f"certero.cli.{verb}").command)
    return app


def _fault(error: Exception) -> int:
    import os
    import traceback

    if os.environ.get("CERTERO_TRACEBACK"):
        traceback.print_exc()
    reason = " ".join(str(error).split())[:300]
    return _fail(
        f"certero itself failed: {type(error).__name__}: {reason}. Nothing half-written was left as a result. "
        "Set CERTERO_TRACEBACK=1 and run again to see where; please report it.",
        EXIT_FAULT,
    )


def _fail(message: str, code: int) -> int:
    print(message.encode("utf-8", "replace").decode("utf-8"), file=sys.stderr)
    return code


def _silence_stdout() -> None:
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _suggest(verb: str) -> str:
    import difflib

    near = difflib.get_close_matches(verb, VERBS, n=1)
    return f" Did you mean {near[0]}?" if near else " See: certero --help"


def _help() -> str:
    verbs = "\n".join(f"  {verb:<10} {line}" for verb, line in VERBS.items())
    return f"""Usage: certero VERB DATA|MODEL [options]

Labelled photos into an image classifier whose accuracy can be trusted.

{verbs}

  certero VERB --help   what a verb takes
  certero --version

Start with: certero demo, then certero train FOLDER (one folder of photos a class)."""
