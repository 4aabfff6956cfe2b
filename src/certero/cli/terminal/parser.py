"""A verb as the parser sees it: the function `command` of its module, with certero's own help."""

from __future__ import annotations

from typing import Any


def make_command(verb: str, module: Any) -> Any:
    """The parser's command of a verb.

    Args:
        verb: its name.
        module: its module of `certero.cli`, with `command` and `ABOUT`.
    """
    import typer
    from typer.core import TyperCommand
    from typer.main import get_command

    class Command(TyperCommand):
        def get_help(self, ctx: Any) -> str:  # noqa: ARG002 (the parser's)
            from certero.cli.terminal.help import lay_out_help

            return lay_out_help(f"certero {verb}", module.ABOUT, self.params)

    # Importing Rich for boxes round the help would double the time to its first line.
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name=verb, cls=Command, context_settings={"help_option_names": ["-h", "--help"]})(module.command)
    return get_command(app)
