"""Reads a recommender whose items are plain vectors, with the standard library alone: FILE USER K."""
import json, struct, sys

path, user, k = sys.argv[1], sys.argv[2], int(sys.argv[3])
data = open(path, "rb").read()
(length,) = struct.unpack_from("<Q", data)
header = json.loads(data[8 : 8 + length])
meta = header.pop("__metadata__")
config = json.loads(meta["rectify.config"])
assert meta["rectify.kind"] == "recommender" and config["format"] == "factors", "another kind of file"
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

items, users = names("items/ids/", config["n_items"]), names("users/ids/", config["n_users"])
offsets, seen = array("users/seen/offsets"), array("users/seen/items")
dim, who = header["model/items"]["shape"][1], users.index(user)
p = array("model/users")[who * dim : (who + 1) * dim]
q = array("model/items")
scores = [sum(a * b for a, b in zip(p, q[i * dim : (i + 1) * dim])) for i in range(len(items))]
has = set(seen[offsets[who] : offsets[who + 1]])
best = sorted((i for i in range(len(items)) if i not in has), key=lambda i: (-scores[i], i))
print(*[items[i] for i in best[:k]])
