"""The media path: probing, planning, running and checking ffmpeg, with no gRPC in it."""
