"""Reads a recommender whose items are vectors or codes, with the standard library alone: FILE USER K."""
import json, struct, sys

path, user, k = sys.argv[1], sys.argv[2], int(sys.argv[3])
data = open(path, "rb").read()
(length,) = struct.unpack_from("<Q", data)
header = json.loads(data[8 : 8 + length])
meta = header.pop("__metadata__")
config = json.loads(meta["rectify.config"])
assert meta["rectify.kind"] == "recommender" and config["format"] in ("factors", "coded-factors"), "another kind of file"
FORMAT = {"F32": "f", "U64": "Q", "U32": "I", "U16": "H", "U8": "B"}

def array(name):
    entry = header[name]
    first, last = (8 + length + offset for offset in entry["data_offsets"])
    code = FORMAT[entry["dtype"]]
    return struct.unpack(f"<{(last - first) // struct.calcsize(code)}{code}", data[first:last])

def names(prefix, n):
    if prefix + "lengths" not in header:
        return [str(i) for i in range(n)]
    text, start, out = bytes(array(prefix + "bytes")), 0, []
    for size in array(prefix + "lengths"):
        out.append(text[start : start + size].decode())
        start += size
    return out

def item_vectors(n):
    if config["format"] == "factors":
        dim, rows = header["model/items"]["shape"][1], array("model/items")
        return [rows[i * dim : (i + 1) * dim] for i in range(n)]
    # Codes lie in blocks of 64 items, [block, plane, item]; with at most 16 codewords two codebooks share a plane.
    shape, codes, books = json.loads(meta["rectify.config:model/"])["shape"], array("model/codes"), array("model/codebooks")
    n_books, words, planes = shape["n_codebooks"], shape["n_codewords"], len(codes) // n
    def code(i, book):
        block, width = i // 64 * 64, min(64, n - i // 64 * 64)
        byte = codes[block * planes + (book // 2 if words <= 16 else book) * width + i % 64]
        return byte >> book % 2 * 4 & 15 if words <= 16 else byte
    size = len(books) // n_books // words
    def word(i, book):  # codebooks are [book, dimension, codeword]
        return [books[(book * size + d) * words + code(i, book)] for d in range(size)]
    parts = [[word(i, book) for book in range(n_books)] for i in range(n)]
    return [[sum(x) for x in zip(*p)] if shape["composition"] == "sum" else sum(p, []) for p in parts]

items, users = names("items/ids/", config["n_items"]), names("users/ids/", config["n_users"])
offsets, seen = array("users/seen/offsets"), array("users/seen/items")
who, vectors = users.index(user), item_vectors(len(items))
dim = len(vectors[0])
p = array("model/users")[who * dim : (who + 1) * dim]
scores = [sum(a * b for a, b in zip(p, q)) for q in vectors]
has = set(seen[offsets[who] : offsets[who + 1]])
best = sorted((i for i in range(len(items)) if i not in has), key=lambda i: (-scores[i], i))
print(*[items[i] for i in best[:k]])
