"""The transcoders and monitors that come with distconv."""
