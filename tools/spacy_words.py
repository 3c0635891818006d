"""Writes src/engine/spacy/spacy_words_data.c: stop words and number words of spaCy's languages.

usage: spacy_words.py > src/engine/spacy/spacy_words_data.c     (spaCy 3.8.7)

spaCy keeps these lists in its code (MIT licence), so no model file holds them.
"""
import importlib

import spacy

LANGS = "ca da de el en es fi fr hr it ko lt mk nb nl pl pt ro ru sl sv uk xx".split()
RULES = {
    "ca": "SPACY_NUMBER_EXACT", "fi": "SPACY_NUMBER_EXACT", "el": "SPACY_NUMBER_CARET",
    "en": "SPACY_NUMBER_ORDINAL", "ko": "SPACY_NUMBER_CHARS", "lt": "SPACY_NUMBER_UNSIGNED",
    "nl": "SPACY_NUMBER_UNSIGNED", "pl": "SPACY_NUMBER_UNSIGNED", "pt": "SPACY_NUMBER_MARKS",
    "ru": "SPACY_NUMBER_PERCENT", "mk": "SPACY_NUMBER_ENDINGS",
    "uk": "SPACY_NUMBER_UNSIGNED | SPACY_NUMBER_EXACT",
}


def literal(words):
    """A C string of sorted words, each with a line feed behind it, in lines of some width."""
    lines, line = [], ""
    for word in sorted(set(words), key=lambda w: w.encode()):
        piece = word.replace("\\", "\\\\").replace('"', '\\"') + "\\n"
        if len(line) + len(piece) > 84:
            lines.append(line)
            line = ""
        line += piece
    lines.append(line)
    return "\n".join(f'     "{text}"' for text in lines)


def attrs_of(lang):
    try:
        return importlib.import_module(f"spacy.lang.{lang}.lex_attrs")
    except ImportError:
        return None


print(f"""/* Written by tools/spacy_words.py from spaCy {spacy.__version__}: not for editing.
 *
 * Copyright (C) 2016-2024 ExplosionAI GmbH, 2016 spaCy GmbH, 2015 Matthew Honnibal; MIT licence, see
 * spacy_words_data.h. */
#include "spacy/spacy_words_data.h"

const struct spacy_words_data spacy_words_data[] = {{""")
for lang in LANGS:
    defaults = spacy.util.get_lang_class(lang).Defaults
    attrs = attrs_of(lang)
    numbers = list(getattr(attrs, "_num_words", ())) + list(getattr(attrs, "_ordinal_words", ()))
    print(f"""    {{.lang = "{lang}",
     .rules = {RULES.get(lang, "0")},
     .stop =
{literal(defaults.stop_words)},
     .numbers =
{literal(numbers)},
     .currency =
{literal(getattr(attrs, "_currency_words", ()))}}},""")
print("""};
const size_t spacy_n_words_data = sizeof(spacy_words_data) / sizeof(spacy_words_data[0]);""")
