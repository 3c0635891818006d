#!/usr/bin/env python3
"""Records what spaCy's tokenizer makes of texts: tokens, norms and lexical attributes.

    golden_spacy_tokenizer.py MODEL [--fuzz N] [--seed 1] [--text FILE]... > cases.jsonl

MODEL is a pipeline folder (tools/spacy_sample prints one). --fuzz makes N odd strings, --text adds the
paragraphs of a file. Needs spaCy 3.8.7. A line is [text, [[token, space, norm, lower, shape, prefix,
suffix, flags] ...]]; bit n of flags is spaCy's flag n. tests/golden/test_golden_spacy_tokenizer compares:
BERTH_SPACY_SM names the model, BERTH_SPACY_CASES the cases.
"""
import argparse
import gzip
import json
import random
import sys

import spacy

FLAGS = ["is_alpha", "is_ascii", "is_digit", "is_lower", "is_punct", "is_space", "is_title", "is_upper",
         "like_url", "like_num", "like_email", "is_stop", None, "is_bracket", "is_quote", "is_left_punct",
         "is_right_punct", "is_currency"]
PIECES = """Hello world the U.K. U.S. e.g. i.e. don't can't I'm it's we'll gonna cannot C++ $1,000.50 10km 3pm 5'11"
:) :-( ;-) :D xD <3 http://a.b/c?d=e#f www.x.co foo@bar.com 192.168.0.1 1/2 -5 +3 1st 22nd 3rd 4th A.B. a.m. p.m. Mr. Dr.
-- --- … — – ... .. . , ; : ! ? ' " `` '' ( ) [ ] { } < > / \\ | @ # % ^ & * _ = ~ 'S 's ’s ’re “ ” ‘ ’ « » „
naïve Straße STRASSE größer ΑΣ Σ ΟΔΥΣΣΕΥΣ İstanbul ıI ǅ ﬁ é e\u0301 ñ Ω № ½ ² ① Ⅷ ª º μm °C 20°C m² €5 £3 ¥ ₹ US$ 東京 日本語 こんにちは
한국어 привет мир שלום مرحبا हिन्दी ไทย 😀 👨‍👩‍👧 🇩🇪 ❤️ ♪ \u200b \u200d \ufeff \u00a0 \u2003 \u3000 \u2028 \x85 \x1c \x1f \t \n \r\n
co-op mother-in-law 2020-01-02 12:30:45 a/b/c and/or foo.bar foo,bar foo;bar foo:bar x=y x+y x-y (a) "q" 'q' e-mail o'clock
O'Reilly rock'n'roll y'all ain't wouldn't've cant dont Ill Id Im hes shed its gimme lemme gotta Jan. Feb. Inc. Ltd. Ph.D. vs. St. No. a.b.c
com .com a.com A.Com x.museum bit.ly/abc ftp://x mailto:a@b.c file:///x \\t \\n <br> &amp; #tag @user 100% 5% 1.5e10 0x1F 10-20 ³ 1,2 1.2.3""".split(" ")


def odd_text(rng):
    kind = rng.random()
    n = rng.randrange(1, 9)
    if kind < 0.5:
        glue = rng.choice(["", " ", " ", "  ", "-", ".", "'", ",", "/"])
        return glue.join(rng.choice(PIECES) for _ in range(n))
    if kind < 0.8:
        return "".join(rng.choice(rng.choice(PIECES) or " ") for _ in range(3 * n))
    if kind < 0.95:
        return "".join(rng.choice("ab.A-1'\"( ),:/$%\n@") for _ in range(4 * n))
    while True:
        text = "".join(chr(rng.choice([rng.randrange(1, 0x300), rng.randrange(0x300, 0x3100),
                                       rng.randrange(0x3100, 0x1fb00)])) for _ in range(n))
        try:
            text.encode()
            return text
        except UnicodeEncodeError:
            pass  # a lone surrogate


def paragraphs(path):
    data = (gzip.open if path.endswith(".gz") else open)(path, "rb").read().decode("utf-8", "replace")
    return [p for p in data.replace("\0", "").split("\n\n") if p]


def row(doc):
    tokens = []
    for t in doc:
        flags = sum(1 << (i + 1) for i, name in enumerate(FLAGS) if name and getattr(t, name))
        tokens.append([t.text, int(bool(t.whitespace_)), t.norm_, t.lower_, t.shape_, t.prefix_, t.suffix_, flags])
    return json.dumps([doc.text, tokens], ensure_ascii=False)


parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--fuzz", type=int, default=0)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--text", action="append", default=[])
args = parser.parse_args()
if spacy.__version__ != "3.8.7":
    sys.exit(f"spaCy 3.8.7 is needed, this is {spacy.__version__}")
tokenizer = spacy.load(args.model).tokenizer
rng = random.Random(args.seed)
for number in range(args.fuzz):
    print(row(tokenizer(odd_text(rng))))
for path in args.text:
    for text in paragraphs(path):
        print(row(tokenizer(text)))
