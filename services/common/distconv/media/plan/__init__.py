"""From a profile and a probed source to ffmpeg's command line; pure functions."""

from distconv.media.plan.build import plan_transcode
from distconv.media.plan.values import (
    OutputStream,
    StreamMode,
    TranscodePlan,
)

__all__ = ["OutputStream", "StreamMode", "TranscodePlan", "plan_transcode"]
