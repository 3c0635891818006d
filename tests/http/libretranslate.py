"""The calls of libretranslatepy, unchanged from PyPI, against a server of toys, which say what they
hear: libretranslate.py URL. Exits 0 when every answer is what a LibreTranslate would give."""

import sys
from urllib.error import HTTPError

from libretranslatepy import LibreTranslateAPI


def refused(call, status, words):
    try:
        call()
    except HTTPError as e:
        body = e.read().decode()
        assert e.code == status and words in body, (e.code, body)
    else:
        raise AssertionError(f"it was taken; {status} was due")


def main():
    lt = LibreTranslateAPI(sys.argv[1])
    keyed = LibreTranslateAPI(sys.argv[1] + "/", api_key="anything")
    text = "One & two = three?\nQuão é \U0001f600 <b>bold</b>; 100 %"
    assert lt.translate(text, "en", "pt") == text
    assert keyed.translate("one", "en", "pt", timeout=60) == "one"
    assert lt.translate("The weather is nice today, is it not?", "auto", "pt").startswith("The")
    assert lt.translate("een twee", "nl", "pt") == "een twee"  # by way of English

    best = lt.detect("The quick brown fox jumps over the lazy dog")[0]
    assert best["language"] == "en" and 0 < best["confidence"] <= 100, best

    languages = {l["code"]: l for l in lt.languages()}
    assert languages["en"]["name"] == "English" and "pt" in languages["en"]["targets"], languages

    refused(lambda: lt.translate("", "en", "pt"), 400, "missing q parameter")
    refused(lambda: lt.translate("x", "en", "xx"), 400, "xx is not supported")
    refused(lambda: lt.translate("x", "xx", "en"), 400, "xx is not supported")


main()
