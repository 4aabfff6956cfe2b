"""Files beside the photos, for every verb that lists photos."""

from __future__ import annotations

from collections.abc import Mapping

from certero.language import _, translate


def say_passed_over(passed_over: Mapping[str, int]) -> str:
    """One line about the files beside the photos."""
    from certero.photos.listing import describe_passed_over

    return _("Passed over: %(list)s.") % {"list": ", ".join(map(translate, describe_passed_over(passed_over)))}
