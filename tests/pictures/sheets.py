"""What is read off a sheet that we print."""

import httpx
import pypdfium2
import zxingcpp

A4 = (595, 842)


def pages(pdf: bytes) -> list[str]:
    """The words of each page, which must be A4."""
    document = pypdfium2.PdfDocument(pdf)
    assert {tuple(round(side) for side in page.get_size()) for page in document} == {A4}
    return [" ".join(page.get_textpage().get_text_bounded().split()) for page in document]


def codes(pdf: bytes) -> list[str]:
    """What the QR codes say, page by page."""
    document = pypdfium2.PdfDocument(pdf)
    return [code.text for page in document for code in zxingcpp.read_barcodes(page.render(scale=3).to_pil())]


def printed(answer: httpx.Response) -> str:
    """The words of a sheet that is shown in the browser and kept nowhere."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"].startswith("inline")
    assert answer.headers["cache-control"] == "no-store"
    return " ".join(pages(answer.content))
