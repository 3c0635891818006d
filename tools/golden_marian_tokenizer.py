#!/usr/bin/env python3
"""What transformers' MarianTokenizer makes of odd strings: the golden of tests/golden/test_marian_tokenizer.c.

usage: tools/golden_marian_tokenizer.py make DIR TEXT...      trains a small tokenizer on text files
       tools/golden_marian_tokenizer.py golden DIR N OUT.json  N strings through the tokenizer in DIR

DIR holds source.spm, target.spm, vocab.json and config files, as Hugging Face has them. Needs
transformers 4.57 and sentencepiece. The golden in the tree:
    make tests/data/marian_tokenizer docs/*.md README.md
    golden tests/data/marian_tokenizer 400 tests/golden/marian_tokenizer.json
"""
import json
import os
import random
import sys

WORDS = """the of and to in is that it for as with on be at by this have from or one had not but what all were when
we there can an your which their said if do will each about how up out them then she many some so these would
bonjour le monde où est la gare s'il vous plaît aujourd'hui l'été garçon œuvre naïve Noël ÉTÉ ça
don't I'm it's we've they're isn't 'm 's 've 're n't""".split()
ODD = ["\u00a0", "\u2009", "\u3000", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u2028", "\u2029", "\t", "\n", "\r\n",
       "\x01", "\x7f", "\x85", "\u2581", "\ufffd", "\u0301", "e\u0301", "\u1e9b\u0323", "\ufb01", "\ufdfa", "\u2460",
       "\u00bd", "\u2122", "\u33a5", "\u1100\u1161\u11a8", "\uac01", "\uff21\uff42\uff11", "\uff76\uff9e", "中文", "日本語。",
       "العربية", "עברית", "हिन्दी", "ไทย", "Ελλάδα", "Привет", "😀", "👩‍👩‍👧‍👦", "🇫🇷", "\U0001d54f", "\U00020000",
       "...", "…", "—", "–", "''", '"', "«", "»", "“", "”", "’", "¿", "¡", "§", "€", "\\", "<", ">", "&amp;", "<b>", "</s>",
       "<unk>", "<pad>", "<s>", "</s", "<pad", ">>fr<<", ">>fra<<", ">>", "<<", ">>a b<<", ">>\n<<", ">>x<<y<<",
       "http://a.b/c?d=e&f=1", "user@example.org", "1,234.56", "12:30", "#tag", "@x", "====", "-----", "!!!", "??", "aaaaaaa",
       "AAAA", "C++", "_", "__init__", "(", ")", "[", "]", "{", "}", "%", "$", "*", "+", "=", "|", "~", "`", "^"]


def odd_string(rng):
    kind = rng.randrange(10)
    if kind == 0:  # any code points
        def point():
            while True:
                c = rng.choice([rng.randrange(1, 0x80), rng.randrange(0x80, 0x800), rng.randrange(0x800, 0x10000),
                                rng.randrange(0x10000, 0x110000)])
                if not 0xD800 <= c < 0xE000:
                    return chr(c)
        return "".join(point() for _ in range(rng.randrange(1, 25)))
    if kind == 1:
        return rng.choice(ODD)
    if kind == 2:
        return "".join(rng.choice(ODD) for _ in range(rng.randrange(1, 8)))
    if kind == 3:
        return rng.choice([" ", "  ", "\t ", ""]).join(rng.choice(WORDS) for _ in range(rng.randrange(1, 12)))
    if kind == 4:
        return rng.choice([">>fr<<", ">>fr<< ", " >>fr<<", ">>fra<<", "<pad>", "</s> "]) + \
            " ".join(rng.choice(WORDS) for _ in range(rng.randrange(6)))
    if kind == 5:
        return "".join(rng.choice("ab .,!?'=-_ \t") for _ in range(rng.randrange(1, 40)))
    if kind == 6:
        return rng.choice(WORDS + ODD) * rng.randrange(1, 60)
    parts = [rng.choice(WORDS) if rng.random() < 0.7 else rng.choice(ODD) for _ in range(rng.randrange(1, 30))]
    text = "".join(p + rng.choice([" ", " ", " ", "", "  ", ", ", ". ", " ' ", " ?"]) for p in parts)
    return text.upper() if rng.random() < 0.1 else text


def load(folder):
    import warnings
    warnings.simplefilter("ignore")
    from transformers import MarianTokenizer
    return MarianTokenizer.from_pretrained(folder)


def golden(folder, n, out):
    import sentencepiece
    import transformers
    tokenizer = load(folder)
    rng = random.Random(6)
    texts = [""] + [odd_string(rng) for _ in range(n - 1)]
    texts = [t.replace("\0", " ") for t in texts]
    cases = []
    for text in texts:
        ids = tokenizer(text).input_ids
        cases.append({"text": text, "ids": ids, "target_ids": tokenizer(text_target=text).input_ids,
                      "skipped": tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False),
                      "kept": tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False),
                      "clean": tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=True)})
    size = max(tokenizer.encoder.values()) + 1
    for _ in range(n // 4):  # any ids, as a model may give them
        ids = [rng.randrange(size + 3) if rng.random() < 0.9 else rng.choice(tokenizer.all_special_ids)
               for _ in range(rng.randrange(1, 20))]
        cases.append({"ids": ids,
                      "skipped": tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False),
                      "kept": tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False),
                      "clean": tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=True)})
    with open(out, "w", encoding="utf-8") as f:
        head = {"made_by": f"transformers {transformers.__version__}, sentencepiece {sentencepiece.__version__}",
                "size": size}
        f.write(json.dumps(head)[:-1] + ', "cases": [\n')
        f.write(",\n".join(json.dumps(c, ensure_ascii=True) for c in cases) + "\n]}\n")
    print(f"{len(cases)} cases in {out}")


def make(folder, files):
    import io
    import sentencepiece
    os.makedirs(folder, exist_ok=True)
    lines = [line.strip() for name in files for line in open(name, encoding="utf-8") if line.strip()]
    sides = {"source": dict(vocab_size=700, normalization_rule_name="nmt_nfkc"),
             "target": dict(vocab_size=500, normalization_rule_name="identity")}
    pieces = []
    for side, options in sides.items():
        model = io.BytesIO()
        text = lines if side == "source" else [line.lower() for line in lines] + WORDS * 20
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(text), model_writer=model, model_type="unigram",
                                                 character_coverage=1.0, num_threads=1, minloglevel=2, **options)
        with open(f"{folder}/{side}.spm", "wb") as f:
            f.write(model.getvalue())
        processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        pieces += [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]
    # some pieces of each side are in no vocabulary, as in real models
    known = sorted(p for i, p in enumerate(dict.fromkeys(pieces)) if i % 37 != 5)
    names = ["</s>", "<unk>", ">>fr<<", ">>pt_BR<<"] + known + ["<pad>"]
    with open(f"{folder}/vocab.json", "w", encoding="utf-8") as f:
        json.dump({name: i for i, name in enumerate(names)}, f, indent=0)
    with open(f"{folder}/tokenizer_config.json", "w", encoding="utf-8") as f:
        json.dump({"source_lang": "en", "target_lang": "mul", "unk_token": "<unk>", "eos_token": "</s>",
                   "pad_token": "<pad>", "model_max_length": 512, "separate_vocabs": False,
                   "tokenizer_class": "MarianTokenizer"}, f)
    print(f"{len(names)} tokens in {folder}")


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] == "golden":
        golden(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    elif len(sys.argv) > 3 and sys.argv[1] == "make":
        make(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(__doc__)
