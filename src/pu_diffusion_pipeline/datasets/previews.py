"""What a data set's `preview` returns: kedro-viz chooses the widget by the name of this type.

A data set with a picture or a table shows that. A record begins with the sentence that its entry in
the catalog says of it, and any other data set shows that sentence alone.
"""

from collections.abc import Mapping
from typing import Any, NewType

TablePreview = NewType("TablePreview", dict[str, Any])
ImagePreview = NewType("ImagePreview", str)
PlotlyPreview = NewType("PlotlyPreview", dict[str, Any])
JSONPreview = NewType("JSONPreview", str)
TextPreview = NewType("TextPreview", str)


def about(metadata: Mapping[str, object] | None) -> TextPreview:
    """The sentence `about` of a catalog entry; empty if it has none."""
    return TextPreview(str((metadata or {}).get("about", "")))
