"""HDR10 static metadata in the words of each encoder."""

from distconv.core.media import ContentLight, MasteringDisplay, StreamInfo

# SMPTE ST 2086 in HEVC's units (ITU-T H.265 §D.3.28): chromaticity in 1/50000,
# luminance in 1/10000 cd/m².
_CHROMA_UNITS = 50_000
_LUMINANCE_UNITS = 10_000


def x26x_mastering(display: MasteringDisplay) -> str:
    """Return it as x264 and x265 take it: G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min), whole units."""

    def point(xy: tuple[float, float]) -> str:
        return f"({round(xy[0] * _CHROMA_UNITS)},{round(xy[1] * _CHROMA_UNITS)})"

    high = round(display.max_luminance * _LUMINANCE_UNITS)
    low = round(display.min_luminance * _LUMINANCE_UNITS)
    return (
        f"G{point(display.green)}B{point(display.blue)}R{point(display.red)}"
        f"WP{point(display.white_point)}L({high},{low})"
    )


def svt_mastering(display: MasteringDisplay) -> str:
    """Return it as SVT-AV1 takes it: the same order, in plain numbers."""

    def point(xy: tuple[float, float]) -> str:
        return f"({xy[0]:.5f},{xy[1]:.5f})"

    return (
        f"G{point(display.green)}B{point(display.blue)}R{point(display.red)}"
        f"WP{point(display.white_point)}L({display.max_luminance:.4f},{display.min_luminance:.4f})"
    )


def light(levels: ContentLight) -> str:
    """Return the content light levels as every encoder takes them."""
    return f"{levels.max_content},{levels.max_frame_average}"


def is_hdr(stream: StreamInfo) -> bool:
    """Say whether a stream is HDR: PQ or HLG."""
    return stream.color_transfer in ("smpte2084", "arib-std-b67")
