"""Takes frames from a pipeline, in a process that sees the system's PyGObject.

    python -m tests.sources.gstreamer_child PIPELINE COUNT

Prints a JSON line for each frame, and at last the error if there was one.
"""

from __future__ import annotations

import itertools
import json
import sys

from edgerun.errors import SourceError
from edgerun.sources.gstreamer import Gstreamer, GstreamerOptions
from edgerun.stages import Feed


def main() -> None:
    options = GstreamerOptions(pipeline=sys.argv[1], open_timeout_s=3.0, read_timeout_s=0.5)
    try:
        for frame in itertools.islice(Gstreamer(options, Feed("csi", 0)).frames(), int(sys.argv[2])):
            size = [frame.stamp.width, frame.stamp.height]
            means = [round(float(plane.mean())) for plane in frame.planes]
            shapes = [list(plane.shape) for plane in frame.planes]
            print(json.dumps({"seq": frame.stamp.seq, "size": size, "means": means, "shapes": shapes}))
    except SourceError as error:
        print(json.dumps({"error": str(error), "retriable": error.retriable}))


if __name__ == "__main__":
    main()
