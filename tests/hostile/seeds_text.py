"""JSON, CSV and other text that is no list, table or setting."""

import json
import zlib
from collections.abc import Iterator

from bundle.data.manifest import DONE, FAILED, FORGIVEN, SETTINGS, TRIED, encoded

from .seeds import Seed, flipped, truncated

DEEP = 100_000
DIGITS = "9" * 100_000
JSON = {
    "datalist": {"negatives": [{"image": "a.dcm"}, {"image": "b.dcm"}]},
    "operating": {"segmentor": {"thresholds": [0.1, 0.5], "fp_per_cm2": [2.0, 0.1], "best_threshold": 0.4}},
    "settings": {"preset": "fast", "overrides": {"iterations": 2}, "threshold": 0.4},
    "record": {"settings": "", "sha256": "0", "record": {"system": "a", "dataset": "b", "case": "c"}},
    "findings": {"source_id": "0", "rows": 96, "columns": 80, "method": "segmentor"},
    "journal": ["a.dcm", [1, None], {"error": "", "shape": [1, 2], "spacing_mm": [0.1, 0.1]}],
}
MANIFEST = (
    {"event": SETTINGS, "settings": {"method": "segmentor"}},
    {"event": TRIED, "key": "a.dcm", "reason": "killed"},
    {"event": DONE, "key": "a.dcm", "reason": "", "folder": "x"},
)
TABLES = {
    "patients": ("image,patient", "a.dcm,one"),
    "exams": ("image,exam", "a.dcm,one"),
    "vindr": (
        "study_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,split,finding_categories,"
        "ymin,xmin,ymax,xmax",
        "s,i,L,CC,96,80,BI-RADS 1,DENSITY A,training,['Suspicious Calcification'],1,1,9,9",
    ),
    "rsna": (
        "patient_id,image_id,laterality,view,cancer,biopsy,implant,density,machine_id",
        "1,2,L,CC,0,0,0,A,49",
    ),
}


def _json(reader: str) -> Iterator[tuple[str, bytes]]:
    whole = json.dumps(JSON[reader])
    first = next(iter(JSON[reader])) if isinstance(JSON[reader], dict) else "a"
    for name, text in {
        "deep_lists": "[" * DEEP + "]" * DEEP, "deep_objects": '{"a":' * DEEP + "1" + "}" * DEEP, "open": "[" * DEEP,
        "empty": "", "null": "null", "number": "1", "text": '"x"', "list": "[]", "object": "{}", "nan": "NaN",
        "infinity": "Infinity", "digits": DIGITS, "minus": "-" + DIGITS, "exponent": "1e" + DIGITS, "single": "'a'",
        "comment": "// x\n{}",
        "trailing": whole + whole, "key_twice": whole[:-1] + "," + whole[1:], "control": '"\x01"',
        "surrogate": '{"\\ud800": 1}', "long_key": json.dumps({"k" * 10**6: 1}),
    }.items():  # fmt: skip
        yield name, text.encode()
        if name not in ("empty", "open", "single", "comment", "trailing", "control"):
            yield f"inside_{name}", json.dumps({first: None})[:-5].encode() + text.encode() + b"}"
    yield "bytes", b"\xff\xfe\x00\x80"
    yield "utf_16", whole.encode("utf-16")
    yield "mark", b"\xef\xbb\xbf" + whole.encode()
    yield "nul", whole.encode().replace(b"a", b"\0")


def _wrong_values() -> Iterator[tuple[str, str, object]]:
    wrong = (None, True, -1, 0, 1, 2.5, "x", [], {}, [[]], float("nan"), float("inf"), 10**300)
    for number, value in enumerate(wrong):
        yield "datalist", f"items_{number}", {"negatives": value}
        yield "datalist", f"item_{number}", {"negatives": [value]}
        yield "datalist", f"image_{number}", {"negatives": [{"image": value}]}
        yield "operating", f"best_{number}", {"segmentor": {"best_threshold": value}}
        yield "operating", f"thresholds_{number}", {"segmentor": {"thresholds": value, "fp_per_cm2": value}}
        yield "operating", f"rates_{number}", {"segmentor": {"thresholds": [0.1, 0.5], "fp_per_cm2": [value, 0.1]}}
        yield "settings", f"preset_{number}", {"preset": value, "overrides": value, "threshold": value}
        yield "record", f"record_{number}", {"settings": "", "sha256": "0", "record": value}
        yield "findings", f"rows_{number}", {**JSON["findings"], "rows": value, "method": value}  # type: ignore[dict-item]
        yield "journal", f"reading_{number}", ["a.dcm", value, value]


def _csv(header: str, row: str) -> Iterator[tuple[str, bytes]]:
    cells = row.split(",")
    for name, text in {
        "nul": f"{header}\n{row}\0x\n", "field_huge": f"{header}\n{'x' * 200_000},{row}\n", "empty": "",
        "blank": "\n\n",
        "header_alone": header, "other_header": "a,b\n1,2\n", "quote_open": f'{header}\n"{row}\n' * 50,
        "short_row": f"{header}\n{cells[0]}\n", "long_row": f"{header}\n{row}{',x' * 10_000}\n",
        "returns": f"{header}\r{row}\r",
        "columns": ",".join(["image"] * 10_000) + f"\n{row}\n",
        "header_twice": f"{header},{header}\n{row},{row}\n",
        "semicolons": f"{header}\n{row}".replace(",", ";"),
        "rows": f"{header}\n" + f"{row}\n" * 20_000,
        "digits": f"{header}\n" + ",".join([DIGITS] * len(cells)),
        "powers": f"{header}\n" + ",".join(["²"] * len(cells)),
        "nan": f"{header}\n" + ",".join(["nan"] * len(cells)),
        "paths": f"{header}\n" + ",".join(["../../x"] * len(cells)),
        "absolute": f"{header}\n" + ",".join(["/etc/x"] * len(cells)),
        "minus": f"{header}\n" + ",".join(["-1"] * len(cells)),
        "nested": f"{header}\n" + row.replace("['Suspicious Calcification']", "[" * 900),
        "signs": f"{header}\n" + row.replace("['Suspicious Calcification']", "-" * 100_000 + "1"),
        "calls": f"{header}\n" + row.replace("['Suspicious Calcification']", "__import__('os').getcwd()"),
    }.items():  # fmt: skip
        yield name, text.encode()
    yield "bytes", header.encode() + b"\n\xff\xfe\x80,\xc3\n"
    yield "utf_16", f"{header}\n{row}\n".encode("utf-16")


def _manifests() -> Iterator[tuple[str, bytes]]:
    """Lines whose checksum is right and whose content is not."""
    for event in (DONE, FAILED, TRIED, FORGIVEN, SETTINGS, "other"):
        for number, value in enumerate((None, 1, "x", [], {}, [{}])):
            whole = {"event": event, "key": value, "reason": value, "settings": value}
            yield f"{event}_{number}", encoded(whole) + encoded({"event": event}) + encoded({"key": "a"})
    for name, text in _json("record"):
        line = text.replace(b"\n", b" ")
        yield f"line_{name}", line[:-1] + f', "crc32": {zlib.crc32(line)}}}\n'.encode()
    yield "checksum_of_many_digits", b'{"event": "x", "crc32": ' + b"9" * 10**5 + b"}\n"


def _mias() -> Iterator[tuple[str, bytes]]:
    yield "digits", f"mdb001 G CALC B {DIGITS} {DIGITS} {DIGITS}\n".encode()
    yield "powers", "mdb001 G CALC B ² ³ ¹\n".encode()
    yield "words", b"mdb001 G CALC B x y z\n" * 100
    yield "long", b"mdb001 " + b"G" * 10**6 + b"\n"
    yield "bytes", bytes(range(256)) * 20
    yield "empty", b""
    yield "spaces", b"mdb001" + b" " * 10**5 + b"G\n"


def seeds() -> Iterator[Seed]:
    """All files of this module."""
    for reader, content in JSON.items():
        whole = json.dumps(content).encode()
        yield from truncated(f"{reader}.json", reader, whole, count=4)
        yield from flipped(f"{reader}.json", reader, whole, count=6)
        for name, text in _json(reader):
            yield Seed(f"{reader}_{name}.json", reader, text)
    for reader, name, value in _wrong_values():
        yield Seed(f"{reader}_wrong_{name}.json", reader, json.dumps(value).encode())
    lines = b"".join(encoded(line) for line in MANIFEST)
    yield from truncated("manifest.jsonl", "manifest", lines, count=10)
    yield from flipped("manifest.jsonl", "manifest", lines, count=20)
    for name, text in _manifests():
        yield Seed(f"manifest_{name}.jsonl", "manifest", text)
    for reader, (header, row) in TABLES.items():
        for name, text in _csv(header, row):
            yield Seed(f"{reader}_{name}.csv", reader, text)
    for name, text in _mias():
        yield Seed(f"mias_{name}.txt", "mias", text)
