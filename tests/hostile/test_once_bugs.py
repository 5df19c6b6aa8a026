"""What hostile files could do once, a test for each; what a whole file shows is among the seeds as well."""

import argparse
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from monai.data import MetaTensor
from PIL import Image

from bundle.data import LoadLabeld, MammogramError, MammogramReader, choose_threshold, codec, find_mammograms
from bundle.data.annotations import label_of_values
from bundle.data.cbis_ddsm import _size
from bundle.data.dicom_results import ViewResults, read_header
from bundle.data.errors import line_start, printable, refuse
from bundle.data.flat_files import read_flat_image
from bundle.data.nifti_files import inflate
from bundle.data.prepare import is_plain_name
from bundle.data.prepare_tables import is_number
from bundle.data.property_list import described, read_property_list
from bundle.data.studies import group_studies, source_id, study_uid
from bundle.functional.findings import find_objects, findings_report
from bundle.transforms.findings import SaveFindingsd
from scripts.dicom_results import write_study
from scripts.evaluate import _mapping
from tests.data.mg_dicom import jpeg_lossless, stored_view

from . import seeds_xml
from .dicom_bytes import EXPLICIT_LITTLE, base, data_set, element, file, meta
from .seeds_dicom import DEFLATED
from .seeds_flat import _tiffs, bomb, png
from .seeds_nifti import _gzips, patched
from .seeds_pixels import LOSSLESS, RLE, _rle_lies, jpeg_ls

NOT_UTF_8 = "M\udcfcller.dcm"
MODULE = {
    "Rows": 96, "Columns": 80, "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0,
    "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
}  # fmt: skip


def _refusal(path: Path, **options: object) -> str:
    with pytest.raises(MammogramError) as caught:
        MammogramReader(**{"spacing_mm": 0.07, **options}).view(path)  # type: ignore[arg-type]
    return str(caught.value)


def _peak_kb(process: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("keyword", ["Modality", "Manufacturer", "PhotometricInterpretation", "VOILUTFunction"])
@pytest.mark.parametrize("own", [b"", b"MG", b"SIGMOID"])
def test_a_forged_length_lets_no_line_and_no_result_show_the_patient(tmp_path: Path, keyword: str, own: bytes) -> None:
    tag = (pydicom.tag.Tag(keyword).group, pydicom.tag.Tag(keyword).element)
    names = {(0x0010, 0x0010): (b"PN", b"SECRET^PATIENT"), (0x0032, 0x1032): (b"PN", b"SECRET^DOCTOR")}
    window = {(0x0028, 0x1050): (b"DS", b"500 "), (0x0028, 0x1051): (b"DS", b"900 ")}
    changes = {**window, **names, tag: (b"LO" if keyword == "Manufacturer" else b"CS", own + b" " * (len(own) % 2))}
    every = {**base(), **changes}
    # The element's value goes on to the end of the next name.
    swallowed = b"".join(
        element(other, *every[other]) for other in sorted(every) if tag < other <= min(t for t in names if t > tag)
    )
    path = tmp_path / "forged.dcm"
    path.write_bytes(meta(EXPLICIT_LITTLE) + data_set(changes, lengths={tag: len(changes[tag][1]) + len(swallowed)}))
    assert b"SECRET" in path.read_bytes()
    try:
        view = MammogramReader().view(path)
    except MammogramError as error:
        shown = str(error)
    else:
        shown = f"{view.manufacturer} {view.remarks} {view.meta()}"
    assert "SECRET" not in shown


def test_a_forged_length_of_a_name_of_a_window_lets_no_line_show_the_patient(tmp_path: Path) -> None:
    swallowed = element((0x0032, 0x1032), b"PN", b"SECRET^DOCTOR")
    window = {(0x0028, 0x1050): (b"DS", b"500 "), (0x0028, 0x1051): (b"DS", b"900 ")}
    named = {**window, (0x0028, 0x1055): (b"LO", b"SOFT"), (0x0032, 0x1032): (b"PN", b"SECRET^DOCTOR")}
    path = tmp_path / "forged.dcm"
    path.write_bytes(meta(EXPLICIT_LITTLE) + data_set(named, lengths={(0x0028, 0x1055): 4 + len(swallowed)}))
    assert _refusal(path, voi=3).endswith("0 to 0 [''], got 3; pass another --voi")
    path.write_bytes(meta(EXPLICIT_LITTLE) + data_set({**named, (0x0032, 0x1032): None}))
    assert _refusal(path, voi=3).endswith("0 to 0 ['SOFT'], got 3; pass another --voi")


@pytest.fixture
def new_codec_process() -> Iterator[None]:
    codec._forget()
    yield
    codec._forget()


def _decode() -> np.ndarray:
    return codec.decode_frame(jpeg_lossless(stored_view(), 12), syntax=LOSSLESS, module=MODULE)


def test_a_process_that_dies_costs_one_frame(new_codec_process: None) -> None:
    _decode()
    worker = codec._State.worker
    assert worker is not None
    os.kill(worker.process.pid, signal.SIGKILL)
    with pytest.raises(codec.DecodingError, match="ended the decoder's process"):
        _decode()
    np.testing.assert_array_equal(_decode(), stored_view())


@pytest.mark.usefixtures("new_codec_process")
class TestCodecs:
    needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory as Linux has them")

    def test_a_codec_that_hangs_is_ended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """CharLS never returns from a frame of 0 rows."""
        pytest.importorskip("jpeg_ls")
        _decode()  # the process is there, so that the limit is on the codec alone
        monkeypatch.setattr(codec, "MAX_DECODE_SECONDS", 2.0)
        with pytest.raises(codec.DecodingError, match="more than 2 s"):
            codec.decode_frame(jpeg_ls(0), syntax="1.2.840.10008.1.2.4.80", module=MODULE)
        monkeypatch.undo()
        np.testing.assert_array_equal(_decode(), stored_view())

    @needs_linux
    def test_memory_is_limited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(codec, "MAX_DECODE_BYTES", 2**25)
        _decode()
        worker = codec._State.worker
        assert worker is not None
        before = _peak_kb(worker.process.pid)
        with pytest.raises(codec.DecodingError):
            codec.decode_frame(dict(_rle_lies())["bomb"], syntax=RLE, module=MODULE)  # twice 64 MB
        assert _peak_kb(worker.process.pid) - before <= 2**25 / 1024

    def test_a_child_of_this_process_has_a_decoder_of_its_own(self) -> None:
        _decode()
        mine = codec._State.worker
        child = os.fork()
        if child == 0:
            fine = codec._State.worker is None and (_decode() == stored_view()).all()
            codec._forget()
            os._exit(0 if fine else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert codec._State.worker is mine
        np.testing.assert_array_equal(_decode(), stored_view())


class TestKindsOfFiles:
    @pytest.mark.parametrize("name", ["pipe.dcm", "pipe.png", "pipe.nii.gz"])
    def test_a_pipe_is_refused_before_it_is_opened(self, tmp_path: Path, name: str) -> None:
        os.mkfifo(tmp_path / name)
        assert "got a pipe" in _refusal(tmp_path / name)

    def test_what_a_name_promises_is_listed_and_told(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.dcm")
        (tmp_path / "nowhere.dcm").symlink_to(tmp_path / "missing")
        (tmp_path / "circle.dcm").symlink_to(tmp_path / "circle.dcm")
        listed = [Path(item["image"]) for item in find_mammograms(tmp_path)]
        assert [path.name for path in listed] == ["circle.dcm", "nowhere.dcm", "pipe.dcm"]
        for path in listed:
            assert _refusal(path).startswith(line_start(path))

    def test_a_nul_in_a_path_is_refused(self) -> None:
        assert "\\x00" in _refusal(Path("a\0b.dcm"))

    def test_a_label_whose_decoding_fails_is_named(self, tmp_path: Path) -> None:
        for number, content in enumerate((png(data=b"xxxx"), png(size=(20_000, 20_000)), png(form=(8, 3, 0)))):
            path = tmp_path / f"{number}.png"
            path.write_bytes(content)
            with pytest.raises(MammogramError, match=f"{number}.png"):
                LoadLabeld("label")({"label": str(path)})

    def test_a_pgm_is_no_other_format(self, tmp_path: Path) -> None:
        """Pillow runs Ghostscript on what says that it is PostScript."""
        Image.fromarray(stored_view(bits=8).astype(np.uint8)).save(tmp_path / "a.tif")
        (tmp_path / "a.tif").rename(tmp_path / "a.pgm")
        with pytest.raises(MammogramError, match="UnidentifiedImageError"):
            read_flat_image(tmp_path / "a.pgm", spacing_mm=(0.2, 0.2), kind="pgm")

    def test_pages_are_counted_to_a_hundred(self, tmp_path: Path) -> None:
        (tmp_path / "a.tif").write_bytes(dict(_tiffs())["pages_200000"])
        assert "got 100" in _refusal(tmp_path / "a.tif")


class TestDicom:
    @pytest.mark.parametrize("preamble", [True, False])
    def test_nobody_inflates(self, tmp_path: Path, preamble: bool) -> None:
        path = tmp_path / "a.dcm"
        path.write_bytes(meta(DEFLATED, preamble=preamble) + bomb()[2:])
        assert "Deflated" in _refusal(path)
        assert study_uid(str(path)) is None
        assert _size(path) is None
        with pytest.raises(MammogramError, match="Deflated"):
            read_header(str(path))

    @pytest.mark.parametrize("uid", [b"1.2\\1.3", b"../../x", b"1" * 65])
    def test_objects_need_one_uid_of_digits(self, tmp_path: Path, uid: bytes) -> None:
        (tmp_path / "a.dcm").write_bytes(file({(0x20, 0x0D): (b"UI", uid)}))
        with pytest.raises(MammogramError, match="one UID of digits"):
            read_header(str(tmp_path / "a.dcm"))
        assert all("/" not in study.name for study in group_studies(str(tmp_path)))

    def test_running_out_of_memory_is_a_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object, **__: object) -> None:
            raise MemoryError

        (tmp_path / "a.dcm").write_bytes(file())
        monkeypatch.setattr("bundle.data.dicom.presentation_pixels", full)
        assert "ran out of it" in _refusal(tmp_path / "a.dcm")

    @pytest.mark.parametrize(
        "changes",
        [{(8, 5): (b"CS", b"ISO 2022 IR 999")}, {(8, 0x16): (b"UI", b"1.2.3")}, {(0x20, 0x52): (b"UI", b"1.2\\1.3")}],
    )
    def test_a_header_that_no_object_can_be_made_of_costs_its_objects_alone(
        self, tmp_path: Path, changes: dict
    ) -> None:
        pytest.importorskip("highdicom")
        views = []
        for name, header in (("good", {}), ("odd", changes)):
            (tmp_path / f"{name}.dcm").write_bytes(file(header))
            source, mask = tmp_path / f"{name}.dcm", np.zeros((96, 80), bool)
            mask[20:24, 20:24] = True
            probs = mask.astype(np.float32)
            report = findings_report(
                find_objects(probs, threshold=0.5, spacing_mm=(0.1, 0.08)), image_name=name, shape=mask.shape,
                spacing_mm=(0.1, 0.08), method="segmentor", threshold=0.5, breast_area_cm2=1.0, created_by="test",
                view_position="CC", laterality="L",
            )  # fmt: skip
            header_of_view = read_header(str(source))
            views.append(ViewResults(header=header_of_view, mask=mask, probs=probs, report=report, stem=name))
        lines = write_study(views, tmp_path / "out", ("seg",))
        assert len(lines) == 1
        assert "odd_seg.dcm: Expected a header" in lines[0]
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["good_seg.dcm"]


class TestNifti:
    def test_no_more_is_inflated_than_the_voxels_need(self, tmp_path: Path) -> None:
        path = tmp_path / "a.nii.gz"
        path.write_bytes(dict(_gzips())["bomb_behind_voxels"])
        assert len(inflate(path, max_bytes=1000)) == 1000
        MammogramReader().view(path)

    def test_an_affine_that_is_not_finite_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "a.nii").write_bytes(patched(280, "f", *[float("nan")] * 12))
        meta = MammogramReader(default_spacing_mm=0.1).view(tmp_path / "a.nii").meta()
        assert np.isfinite(meta["affine"]).all()


class TestTexts:
    @pytest.mark.parametrize("name", ["comment_huge", "attribute_huge", "spaces_in_tag", "deep_arrays", "doctype_huge"])
    def test_xml_that_takes_plistlib_without_end_never_reaches_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setattr("plistlib.loads", lambda *_, **__: pytest.fail("parsed"))
        (tmp_path / "1.xml").write_text(str(dict(seeds_xml._attacks())[name]))
        with pytest.raises(MammogramError, match=r"1\.xml"):
            read_property_list(tmp_path / "1.xml")

    def test_values_in_lines_are_short(self) -> None:
        nested: list = []
        for _ in range(100_000):
            nested = [nested]
        assert [described(value) for value in (nested, 16**60_000, "x" * 99, True, 3, 0.5)] == [
            "list", "int", "str", "True", "3", "0.5",
        ]  # fmt: skip

    def test_all_values_of_a_mask_are_not_listed(self) -> None:
        values = np.random.default_rng(0).random((400, 400))
        with pytest.raises(MammogramError, match="Expected a mask") as caught:
            label_of_values(values, path=Path("a.nii"))
        assert len(str(caught.value)) < 300

    @pytest.mark.parametrize("text", ["²", "9" * 5000, "-1", "", "1.0", "\u0661"])
    def test_numbers_of_tables_are_plain_digits(self, text: str) -> None:
        assert not is_number(text)
        assert is_number("0123")

    @pytest.mark.parametrize("text", ["{", "{a: [}", "[" * 3000, "&a [*a]", "a: b: c", "\0"])
    def test_overrides_that_are_no_yaml_are_told(self, text: str) -> None:
        with pytest.raises(argparse.ArgumentTypeError, match="docs/refinement"):
            _mapping(text)

    @pytest.mark.parametrize("best", ['"x"', "null", "[]", "NaN", "true", "1e999", "7"])
    def test_a_wrong_threshold_is_the_table_s_fault(self, tmp_path: Path, best: str) -> None:
        path = tmp_path / "points.json"
        path.write_text(f'{{"segmentor": {{"best_threshold": {best}}}}}')
        with pytest.raises(MammogramError, match=r"points\.json: Expected a best_threshold"):
            choose_threshold(path, method="segmentor")


class TestNames:
    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\\b", "a\0", "x" * 201, "\udcff" * 201])
    def test_names_that_lead_elsewhere_are_no_names(self, name: str) -> None:
        assert not is_plain_name(name)
        assert is_plain_name("a- =b..c\udcff")

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("a b", "a b"),
            ("a \n b", "a b"),
            ("\x1b[2J", "\\x1b[2J"),
            ("\u202ea", "\\u202ea"),
            ("\udcff", "\\udcff"),
            ("ü", "ü"),
        ],
    )
    def test_a_line_is_printable(self, text: str, line: str) -> None:
        assert printable(text) == line
        assert str(refuse(text, "Expected x")) == f"{line}: Expected x"

    def test_a_header_s_text_cannot_fill_the_screen(self) -> None:
        assert len(str(refuse("a", "x" * 10**6))) < 1100

    def test_a_name_that_is_no_utf_8_is_a_name(self, tmp_path: Path) -> None:
        path = tmp_path / NOT_UTF_8
        path.write_bytes(file())
        view = MammogramReader().view(path)
        assert len(source_id(path)) == 8
        (study,) = group_studies(str(tmp_path))
        assert study.files == (str(path),)
        image = MetaTensor(view.pixels[None], meta={"spacing_mm": view.spacing_mm, "filename_or_obj": str(path)})
        SaveFindingsd("pred", output_dir=tmp_path / "out")({"image": image, "pred": image * 0})
        assert (tmp_path / "out" / "M_ller_findings.json").is_file()
