"""INbreast annotations that attack XML, property lists, or the filling of outlines."""

from collections.abc import Iterator

from .seeds import Seed, flipped, truncated

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
DOCTYPE = '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
SQUARE = ("(10, 10)", "(20, 10)", "(20, 20)", "(10, 20)")
MANY = 20_000


def roi(points: tuple[str, ...] | list[str] = SQUARE, **changes: str) -> str:
    """A region; changes by key, as XML."""
    texts = "".join(f"<string>{point}</string>" for point in points)
    entries = {
        "Name": "<string>Calcification</string>", "Type": "<integer>15</integer>",
        "NumberOfPoints": f"<integer>{len(points)}</integer>", "Point_px": f"<array>{texts}</array>",
    }  # fmt: skip
    return "<dict>" + "".join(f"<key>{key}</key>{value}" for key, value in (entries | changes).items()) + "</dict>"


def plist(*rois: str, body: str | None = None, doctype: str = DOCTYPE) -> str:
    """A file with these regions, or another body."""
    images = f"<array><dict><key>ROIs</key><array>{''.join(rois)}</array></dict></array>"
    inside = f"<dict><key>Images</key>{images}</dict>" if body is None else body
    return f'{DECLARATION}{doctype}<plist version="1.0">{inside}</plist>'


def _doctype(declarations: str) -> str:
    return f"<!DOCTYPE plist [\n{declarations}\n]>\n"


def _attacks() -> Iterator[tuple[str, str | bytes]]:
    laughs = '<!ENTITY l0 "ha">' + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 30))
    yield "billion_laughs", plist(roi(Name="<string>&l29;</string>"), doctype=_doctype(laughs))
    quadratic = f'<!ENTITY a "{"x" * 50_000}">'
    yield "quadratic", plist(roi(Name=f"<string>{'&a;' * 20_000}</string>"), doctype=_doctype(quadratic))
    external = '<!ENTITY x SYSTEM "file:///etc/passwd">'
    yield "external_entity", plist(roi(Name="<string>&x;</string>"), doctype=_doctype(external))
    yield (
        "remote_entity",
        plist(roi(Name="<string>&x;</string>"), doctype=_doctype(external.replace("file://", "http://127.0.0.1:9"))),
    )
    yield "parameter_entity", plist(roi(), doctype=_doctype('<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;'))
    yield "declared_attribute", plist(roi(), doctype=_doctype(f'<!ATTLIST dict a CDATA "{"x" * 10_000}">'))
    yield "undeclared_entity", plist(roi(Name="<string>&nbsp;</string>"))
    for name, tag in (("arrays", "array"), ("dicts", "dict"), ("strange", "x")):
        key = "<key>a</key>" if tag == "dict" else ""
        yield f"deep_{name}", plist(body=f"<{tag}>{key}" * 100_000 + f"</{tag}>" * 100_000)
    yield "comment_huge", plist(f"<!--{'<a ' * 10**6}-->")
    yield "attribute_huge", plist(body=f'<dict a="{"x" * 3 * 10**6}"/>')
    yield "spaces_in_tag", plist(body=f"<dict{' ' * 3 * 10**6}/>")
    yield "attributes_many", plist(body="<dict " + " ".join(f'a{n}="b"' for n in range(20_000)) + "/>")
    yield "name_huge", plist(body=f"<{'a' * 10**6}/>")
    yield "instruction_huge", plist(f"<?a {'b' * 10**6}?>")
    yield "text_huge", plist(roi(Name=f"<string>{'x' * 10**6}</string>"))
    yield "doctype_huge", plist(roi(), doctype=f'<!DOCTYPE plist SYSTEM "{"x" * 10**6}">')
    yield "namespaces", plist(body='<dict xmlns:a="b" xmlns="c"/>')
    yield "utf_16", plist(roi()).replace("UTF-8", "UTF-16").encode("utf-16")
    for name, encoding in (("unknown", "x-nowhere"), ("utf_7", "utf-7"), ("ebcdic", "cp037"), ("idna", "idna")):
        yield f"encoding_{name}", plist(roi()).replace("UTF-8", encoding)
    yield "bad_utf_8", plist(roi()).encode().replace(b"Calcification", b"Calc\xff\xfe\xc3")
    yield "nul", plist(roi()).replace("Calcification", "Calc\0")
    yield "two_roots", plist(roi()) + plist(roi())
    yield "binary", b"bplist00" + b"\xff" * 200
    yield "json", b'{"Images": []}'


def _confusions() -> Iterator[tuple[str, str]]:
    """Values of another type than the layout's, at every place."""
    values = {
        "none": "", "dict": "<dict/>", "array": "<array/>", "true": "<true/>", "data": "<data>AAAA</data>",
        "date": "<date>2020-01-01T00:00:00Z</date>", "hex": f"<integer>0x{'f' * 60_000}</integer>",
        "digits": f"<integer>{'9' * 60_000}</integer>", "real": "<real>nan</real>", "minus": "<integer>-1</integer>",
        "nested": "<array>" * 25 + "</array>" * 25, "base64": "<data>!!!</data>", "empty": "<string/>",
        "bad_date": "<date>never</date>", "bad_real": "<real>x</real>", "inf": "<real>1e999</real>",
    }  # fmt: skip
    for key in ("Name", "Type", "NumberOfPoints", "Point_px"):
        for name, value in values.items():
            yield f"{key.lower()}_{name}", plist(roi(**{key: value}))
    for name, value in values.items():
        yield f"point_{name}", plist(roi(Point_px=f"<array>{value * 4}</array>", NumberOfPoints="<integer>4</integer>"))
        yield f"roi_{name}", plist(value)
        yield f"images_{name}", plist(body=f"<dict><key>Images</key>{value}</dict>")


def _geometry() -> Iterator[tuple[str, str]]:
    yield "outside", plist(roi(["(1e9, 1)", "(2, 2)", "(3, 1)"]))
    yield "infinite", plist(roi(["(1e999, 1)", "(2, 2)", "(3, 1)"]))
    yield "negative", plist(roi(["(-1e5, 1)", "(2, 2)", "(3, 1)"]))
    yield "digits", plist(roi([f"({'1' * 60_000}, 1)"] * 3))
    yield "lines", plist(roi(["(1,\n1)", "(2, 2)", "(3, 1)"], Name="<string>Calcification\n\x85</string>"))
    around = [f"({number % 80}, {number * 7 % 96})" for number in range(MANY)]
    yield "vertices_20000", plist(roi(around))
    frame = roi(["(0, 0)", "(79, 0)", "(79, 95)", "(0, 95)"])
    yield "outlines_1000", plist(*[frame] * 1000)
    yield "one_place", plist(roi(["(5, 5)"] * 1000))


def seeds() -> Iterator[Seed]:
    """All files of this module."""
    good = plist(roi()).encode()
    yield Seed("good.xml", "mask", good, good=True)
    yield from truncated("annotation.xml", "mask", good, count=20)
    yield from flipped("annotation.xml", "mask", good, count=30)
    for found in (_attacks(), _confusions(), _geometry()):
        for name, text in found:
            yield Seed(f"xml_{name}.xml", "mask", text if isinstance(text, bytes) else text.encode())
