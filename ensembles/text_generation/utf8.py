"""Strings that are hard to stream: every kind of character that detokenisation could cut in two, or lose.

Two hundred, half of them written down, half put together from pieces by a fixed seed; no heavy tool is needed.
"""

from __future__ import annotations

import random

SEED = 20240229
COUNT = 200

# Whole texts, each for a reason of its own.
TEXTS = (
    # spaces and newlines: at either end, doubled, alone
    " leading",
    "  two leading",
    "trailing ",
    "trailing two  ",
    "two  spaces   and three",
    " ",
    "   ",
    "\n",
    "\n\n",
    "\nfirst line empty",
    "last line empty\n",
    "line one\nline two\n\n  indented line three",
    "tab\tand\ttab",
    "\tleading tab",
    "carriage\r\nreturn",
    " \n mixed \t ends \n ",
    "def f(x):\n    if x:\n        return  x  # two spaces\n",
    "no-break\u00a0space, thin\u2009space, wide\u3000space",
    "zero\u200bwidth, word\u2060joiner",
    "\ufeffbyte order mark first",
    # emoji: one code point, with a variation selector, a skin tone, joined, flags, keycaps, tags
    "😀",
    "😀😃😄😁😆",
    "a 😀 between",
    "😀 leading and trailing 😀",
    "❤️ heart with a selector",
    "☺︎ text style, ☺️ emoji style",
    "👍🏽 skin tone",
    "👩‍💻 at work",
    "👨‍👩‍👧‍👦",
    "👨‍👩‍👧‍👦👨‍👩‍👧‍👦 two families",
    "👩🏾‍❤️‍💋‍👨🏻 eight code points",
    "🏳️‍🌈 and 🏴‍☠️",
    "🇫🇷🇩🇪🇯🇵 flags in a row",
    "🏴󠁧󠁢󠁷󠁬󠁳󠁿 a flag of tags",
    "1️⃣ 2️⃣ 3️⃣ #️⃣",
    "ends within a sequence 👩‍",
    # Chinese, Japanese, Korean; also outside the basic plane
    "模型仓库",
    "动态批处理把请求合并成一个批次。",
    "こんにちは、世界",
    "ひらがなとカタカナと漢字",
    "ﾊﾝｶｸ ｶﾀｶﾅ",
    "が as one, か\u3099 as two",
    "안녕하세요 세계",
    "\u1112\u1161\u11ab\u1100\u1173\u11af in single letters",
    "𠀀𠁁𠂂 beyond the basic plane",
    "葛󠄀城市 with a variation selector",
    "全角　スペース　入り",
    "「引用」、（括弧）。",
    # combining marks
    "e\u0301 is not é",
    "Vie\u0302\u0323t Nam, Việt Nam",
    "a\u0300\u0301\u0302\u0303\u0304 stacked",
    "Z\u0351\u036b\u0343a\u0321\u034al\u0348\u035cg\u0321\u0353o\u0329",
    "\u0301 begins with a mark",
    "n\u0303 o\u0308 u\u030a",
    "Å Å A\u030a three ways",
    "ﬁ ﬂ ligatures",
    # right to left, and both directions
    "שלום עולם",
    "שָׁלוֹם with points",
    "مرحبا بالعالم",
    "مُحَمَّدٌ with marks",
    "English then עברית then English",
    "1234 عدد 5678",
    "\u202bembedded\u202c and \u2067isolated\u2069",
    "لا ligature, لـا with a stretch",
    # other scripts
    "नमस्ते दुनिया",
    "क्षत्रिय",
    "สวัสดีชาวโลก",
    "မင်္ဂလာပါ",
    "தமிழ் மொழி",
    "Γειά σου Κόσμε",
    "Привет, мир",
    "Բարեւ աշխարհ",
    "გამარჯობა მსოფლიო",
    "ሰላም ለዓለም",
    "ᐊᐃᓐᖓᐃ",
    "𐍈 Gothic, 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 letters, 𓀀 hieroglyph",
    # Latin letters of two bytes, punctuation, mathematics
    "Größe, naïve, façade, œuvre, smørrebrød",
    "İstanbul ısı",
    "“quotes” – dash — longer … ellipsis",
    "€ £ ¥ ₹ ₿",
    "x² + y² = z², ∑ᵢ aᵢ ≠ ∫ f(x) dx",
    "a\u2044b, ½, ⅓, ℵ₀, ∀x∈ℝ",
    "° ± × ÷ µ",
    "→ ← ⇒ ⇔ ↦",
    "┌──┐\n│  │\n└──┘",
    "⠓⠑⠇⠇⠕",
    "♔♕♖ ♩♪♫",
    # what looks like a broken character but is one, and first and last code points of each length
    "\ufffd alone",
    "text with \ufffd inside",
    "\ufffd\ufffd\ufffd",
    "\u007f\u0080\u07ff\u0800\uffee\U00010000\U0010fffd",
    "\u0001\u001b[31mcontrol\u001b[0m",
    # what code, data and people mix
    '{"key": "wert ä", "list": [1, 2, "三"]}',
    "<b>fett</b> &amp; <i>schräg</i>",
    "C:\\Ordner\\Größe.txt",
    "https://例え.jp/パス?q=é#ü",
    "user@example.com, +49 (30) 1234-5678",
    "Hello世界مرحبا🌍",
    "What is a model repository? 模型仓库是什么？",
)

PIECES = (
    *("a", "the model", "Triton", "tokens", "3.14", "x", "!", "...", "KV cache"),
    *(" ", "  ", "\n", " \n", "\t", "\u00a0", "\u3000"),
    *("😀", "👩‍💻", "👨‍👩‍👧‍👦", "❤️", "🇫🇷", "👍🏽", "1️⃣", "🧑🏿‍🚀"),
    *("模型", "請求", "こんにちは", "カタカナ", "か\u3099", "안녕", "\u1112\u1161\u11ab", "𠮷"),
    *("e\u0301", "a\u0300\u0323", "\u0308", "ñ", "ß", "Å"),
    *("שלום", "عربي", "مُحَ", "\u200f", "\u200d", "\ufe0f"),
    *("क्षि", "ไทย", "Привет", "Ω", "€", "…", "\ufffd"),
)


def strings() -> list[str]:
    """Return the strings, all different."""
    dice = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    found = dict.fromkeys(TEXTS)
    while len(found) < COUNT:
        found["".join(dice.choices(PIECES, k=dice.randint(2, 24)))] = None
    return list(found)
