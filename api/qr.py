"""QR codes of our own addresses. Without a public address there is none: a code that opens nothing helps nobody."""

import io

import segno


def svg(address: str) -> str:
    """As an element for a page: no script, no style."""
    return _made(address).svg_inline(omitsize=True, border=4)


def svg_file(address: str) -> bytes:
    out = io.BytesIO()
    _made(address).save(out, kind="svg", scale=8, border=4)
    return out.getvalue()


def png(address: str) -> bytes:
    out = io.BytesIO()
    _made(address).save(out, kind="png", scale=8, border=4)
    return out.getvalue()


def _made(address: str) -> segno.QRCode:
    # Level M and a quiet zone of four modules: what ISO/IEC 18004 asks of a code that is photographed from paper.
    return segno.make(address, error="m", micro=False)
