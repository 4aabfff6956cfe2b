"""TOML: read with one-line errors, and written."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from certero.errors import ConfigError


def read_toml(file: Path, what: str) -> dict[str, Any]:
    """The table that a TOML file holds.

    Args:
        file: in UTF-8, with or without a byte order mark.
        what: to call it in a message, e.g. `--recipe`.

    Raises:
        OSError: if it cannot be read.
        ConfigError: if it is no TOML.
    """
    from certero.machine.files import MOST_TEXT_BYTES, read_file

    return parse_toml(read_file(file, MOST_TEXT_BYTES), f"{what} {file}")


def parse_toml(data: bytes, what: str) -> dict[str, Any]:
    """The table that bytes of TOML hold; see `read_toml`.

    Raises:
        ConfigError: if they are no TOML.
    """
    import tomllib  # the help needs none

    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:64]:
        raise ConfigError("%(what)s must be in UTF-8; it is in UTF-16 or no text at all. Save it as UTF-8.", what=what)
    try:
        return tomllib.loads(data.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        raise ConfigError(
            "%(what)s must be in UTF-8; it is not UTF-8 from byte %(start)s on. Save it so.",
            what=what,
            start=error.start,
        ) from error
    except RecursionError as error:
        raise ConfigError("%(what)s must be valid TOML; it is nested too deeply.", what=what) from error
    except ValueError as error:  # beside the kind of tomllib, e.g. for a number of thousands of digits
        reason = " ".join(str(error).split())[:200]
        raise ConfigError("%(what)s must be valid TOML; %(reason)s.", what=what, reason=reason) from error


def to_toml(value: object) -> str:
    """A value as TOML: a truth value, number, text, duration (as text), list or table.

    >>> to_toml({"block": timedelta(hours=1), "seeds": (1, 2)})
    '{ "block" = "3600s", "seeds" = [1, 2] }'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        # Not %g: it rounds two weeks and more to six digits, with an exponent that no duration has.
        return f'"{f"{value.total_seconds():.6f}".rstrip("0").rstrip(".")}s"'
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(to_toml(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_text(k)} = {to_toml(v)}" for k, v in value.items()) + " }"
    return repr(value)


def _text(text: str) -> str:
    # Bytes of a path that are no UTF-8 cannot stand in TOML; they are shown as \\xNN.
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    escaped = "".join(
        f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 else "\\" + c if c in '\\"' else c for c in text
    )
    return f'"{escaped}"'
