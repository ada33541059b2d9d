"""mmpretrain's own browse_dataset.py, patched for the installed matplotlib; run as a script, it is that tool.

mmpretrain 1.2 calls a private function of matplotlib that changed in 3.11: without the patch three of its four modes
die.
"""

import importlib.util
from pathlib import Path


def peer_tool():
    """mmpretrain's script as a module."""
    package = Path(importlib.util.find_spec("mmpretrain").origin).parent
    script = package / ".mim" / "tools" / "visualization" / "browse_dataset.py"
    spec = importlib.util.spec_from_file_location("peer_browse", script)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    adjust = tool.adjust_bbox
    tool.adjust_bbox = lambda figure, box: adjust(figure, box, figure.canvas.get_renderer())
    return tool


if __name__ == "__main__":
    peer_tool().main()
