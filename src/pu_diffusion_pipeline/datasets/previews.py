"""What a data set's `preview` returns: kedro-viz chooses the widget by the name of this type."""

from typing import Any, NewType

TablePreview = NewType("TablePreview", dict[str, Any])
ImagePreview = NewType("ImagePreview", str)
PlotlyPreview = NewType("PlotlyPreview", dict[str, Any])
JSONPreview = NewType("JSONPreview", str)
