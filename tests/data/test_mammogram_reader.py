"""Reading mammograms: what the pixels become, what the metadata say, and what is refused in one line."""

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import openjpeg.utils
import pydicom
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image
from pydicom.sequence import Sequence
from torch._utils import ExceptionWrapper

from bundle.data import codec_worker, dicom_pixels
from bundle.data.codec import MissingDecoderError, decode_frame
from bundle.data.codestream import first_frame, frame_size, is_complete
from bundle.data.dicom_pixels import decode_with_itk
from bundle.data.errors import MammogramError, MammogramWarning, root_mammogram_error
from bundle.data.load import LoadMammogramd
from bundle.data.mammogram_reader import MammogramReader
from bundle.data.view import MAX_PIXELS
from tests.data import mg_dicom
from tests.data.mg_dicom import code, jpeg_lossless, lut, lut_item, stored_view, write_mg

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
GE_VIEW = SHARED / "data" / "dicom" / "ge_rmlo_jpeg_lossless_3voilut.dcm"
needs_ge_view = pytest.mark.skipif(not GE_VIEW.exists(), reason="the real view is not part of the project")


def pixels(path: Path, **options) -> np.ndarray:
    return MammogramReader(**options).view(path).pixels


def refusal(path: Path, **options) -> str:
    with pytest.raises(MammogramError) as caught:
        MammogramReader(**options).view(path)
    return str(caught.value)


class TestPixels:
    def test_monochrome2_without_transforms_is_the_stored_values(self, tmp_path):
        stored = stored_view()
        read = pixels(write_mg(tmp_path / "a.dcm", stored))
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, stored)

    def test_rows_are_rows(self, tmp_path):
        stored = np.zeros((96, 80), np.uint16)
        stored[5, 70] = 1000
        assert np.unravel_index(pixels(write_mg(tmp_path / "a.dcm", stored)).argmax(), stored.shape) == (5, 70)

    def test_monochrome1_of_the_complement_is_monochrome2(self, tmp_path):
        stored = stored_view()
        plain = pixels(write_mg(tmp_path / "a.dcm", stored))
        inverted = write_mg(tmp_path / "b.dcm", 4095 - stored, PhotometricInterpretation="MONOCHROME1")
        np.testing.assert_array_equal(pixels(inverted), plain)

    def test_monochrome1_is_inverted_after_the_window(self, tmp_path):
        stored = stored_view()
        window = {"WindowCenter": 2000, "WindowWidth": 900}
        plain = pixels(write_mg(tmp_path / "a.dcm", stored, **window))
        inverted = pixels(write_mg(tmp_path / "b.dcm", stored, PhotometricInterpretation="MONOCHROME1", **window))
        np.testing.assert_allclose(inverted, 1 - plain, atol=1e-6)

    def test_signed_values_keep_their_sign(self, tmp_path):
        stored = stored_view().astype(np.int16) - 2048
        read = pixels(write_mg(tmp_path / "a.dcm", stored, PixelRepresentation=1))
        np.testing.assert_array_equal(read, stored)

    def test_bits_above_the_stored_ones_are_ignored(self, tmp_path):
        stored = stored_view()
        overlay = stored | (np.arange(80, dtype=np.uint16) % 2 << 15)
        np.testing.assert_array_equal(pixels(write_mg(tmp_path / "a.dcm", overlay)), stored)

    def test_eight_bits(self, tmp_path):
        stored = stored_view(bits=8).astype(np.uint8)
        np.testing.assert_array_equal(pixels(write_mg(tmp_path / "a.dcm", stored)), stored)

    def test_rescale_is_slope_times_value_plus_intercept(self, tmp_path):
        stored = stored_view()
        read = pixels(write_mg(tmp_path / "a.dcm", stored, RescaleSlope="0.5", RescaleIntercept="-100"))
        np.testing.assert_allclose(read, 0.5 * stored - 100.0)

    def test_modality_lut_replaces_rescale(self, tmp_path):
        stored = stored_view()
        entries = np.arange(4096)[::-1]
        read = pixels(write_mg(tmp_path / "a.dcm", stored, ModalityLUTSequence=lut([4096, 0, 16], entries)))
        np.testing.assert_array_equal(read, 4095.0 - stored)

    @pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
    def test_windows_are_pydicoms_up_to_scale(self, tmp_path, function):
        stored = stored_view()
        path = write_mg(tmp_path / "a.dcm", stored, WindowCenter=2000, WindowWidth=900, VOILUTFunction=function)
        from pydicom.pixel_data_handlers.util import apply_voi_lut

        reference = apply_voi_lut(stored, pydicom.dcmread(path))
        np.testing.assert_allclose(pixels(path), reference / 4095.0, atol=1e-6)

    def test_first_voi_lut_wins_over_windows_and_the_others_are_chosen_by_position_or_name(self, tmp_path):
        stored = stored_view()
        first, second = np.arange(100, 1100), np.arange(1000)[::-1]
        luts = Sequence([lut_item([1000, 500, 12], first, "NORMAL"), lut_item([1000, 500, 12], second, "HARDER")])
        path = write_mg(
            tmp_path / "a.dcm", stored, VOILUTSequence=luts, WindowCenter=[2000, 1000], WindowWidth=[900, 500],
            WindowCenterWidthExplanation=["A", "B"],
        )  # fmt: skip
        index = np.clip(stored.astype(int) - 500, 0, 999)
        np.testing.assert_array_equal(pixels(path), first[index])
        np.testing.assert_array_equal(pixels(path, voi=1), second[index])
        np.testing.assert_array_equal(pixels(path, voi="harder"), second[index])
        np.testing.assert_allclose(pixels(path, voi="B"), np.clip((stored - 999.5) / 499 + 0.5, 0, 1), atol=1e-6)
        np.testing.assert_array_equal(pixels(path, voi=None), stored)
        np.testing.assert_array_equal(pixels(path, voi="none"), stored)
        assert "'NORMAL', 'HARDER'" in refusal(path, voi="SOFTER")
        assert "0 to 1" in refusal(path, voi=2)

    def test_eight_bit_lut_entries_may_be_packed_in_words(self, tmp_path):
        stored = stored_view(bits=8)
        entries = np.arange(256, dtype=np.uint8)[::-1].copy()
        path = write_mg(tmp_path / "a.dcm", stored, VOILUTSequence=lut([256, 0, 8], entries.view("<u2")))
        np.testing.assert_array_equal(pixels(path), entries[stored])

    def test_padding_becomes_the_darkest_tissue_value_after_inversion(self, tmp_path):
        stored = np.clip(stored_view(), 100, 4000)
        stored[:, :10] = 4095
        path = write_mg(tmp_path / "a.dcm", stored, PhotometricInterpretation="MONOCHROME2", PixelPaddingValue=4095)
        read = pixels(path)
        np.testing.assert_array_equal(read[:, :10], stored[:, 10:].min())
        np.testing.assert_array_equal(read[:, 10:], stored[:, 10:])
        stored[:, :10] = 0
        read = pixels(
            write_mg(tmp_path / "b.dcm", stored, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
        )
        np.testing.assert_array_equal(read[:, :10], 4095.0 - stored[:, 10:].max())

    def test_padding_range_holds_both_ends(self, tmp_path):
        stored = np.clip(stored_view(), 100, 4000)
        stored[0, :3] = 20, 25, 30
        stored[0, 3] = 31
        read = pixels(write_mg(tmp_path / "a.dcm", stored, PixelPaddingValue=20, PixelPaddingRangeLimit=30))
        np.testing.assert_array_equal(read[0, :4], [31, 31, 31, 31])

    def test_raw_is_refused_or_becomes_negative_log_exposure(self, tmp_path):
        stored = stored_view() + np.uint16(1)
        for name, change in {
            "intent": {"PresentationIntentType": "FOR PROCESSING"},
            "class": {"SOPClassUID": mg_dicom.FOR_PROCESSING, "PresentationIntentType": None},
        }.items():
            path = write_mg(tmp_path / f"{name}.dcm", np.minimum(stored, 4095), **change)
            assert "For Processing" in refusal(path)
            with pytest.warns(MammogramWarning, match="converted from raw"):
                read = pixels(path, convert_raw=True)
            np.testing.assert_allclose(read, -np.log(np.minimum(stored, 4095)), rtol=1e-6)

    def test_raw_that_is_log_already_is_only_turned_to_bright_is_dense(self, tmp_path):
        stored, raw = stored_view(), {"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationship": "LOG"}
        for sign, expected in ((1, -stored.astype(float)), (-1, stored)):
            path = write_mg(tmp_path / f"{sign}.dcm", stored, PixelIntensityRelationshipSign=sign, **raw)
            with pytest.warns(MammogramWarning):
                np.testing.assert_array_equal(pixels(path, convert_raw=True), expected)


class TestEncodings:
    def test_jpeg_2000_lossless(self, tmp_path):
        stored = stored_view()
        frame = openjpeg.utils.encode_array(stored, bits_stored=12, photometric_interpretation=2)
        path = write_mg(tmp_path / "a.dcm", stored, frame=frame, syntax=mg_dicom.JPEG_2000_LOSSLESS)
        np.testing.assert_array_equal(pixels(path), stored)

    def test_jpeg_lossless(self, tmp_path):
        stored = stored_view()
        frame = jpeg_lossless(stored, 12)
        path = write_mg(tmp_path / "a.dcm", stored, frame=frame, syntax=mg_dicom.JPEG_LOSSLESS_SV1)
        np.testing.assert_array_equal(pixels(path), stored)

    def test_rle_lossless(self, tmp_path):
        stored = stored_view()
        dataset = pydicom.dcmread(write_mg(tmp_path / "a.dcm", stored))
        dataset.compress(pydicom.uid.RLELossless)
        dataset.save_as(tmp_path / "b.dcm")
        np.testing.assert_array_equal(pixels(tmp_path / "b.dcm"), stored)

    def test_a_file_without_preamble_and_meta_header(self, tmp_path):
        stored = stored_view()
        path = write_mg(tmp_path / "a.dcm", stored)
        bare = pydicom.dcmread(path)
        del bare.file_meta, bare.preamble
        bare.is_little_endian, bare.is_implicit_VR = True, True
        bare.save_as(tmp_path / "bare", **({} if pydicom.__version__ < "3" else {"implicit_vr": True}))
        assert (tmp_path / "bare").read_bytes()[:2] == b"\x08\x00"
        np.testing.assert_array_equal(pixels(tmp_path / "bare"), stored)

    @pytest.mark.parametrize("syntax", [mg_dicom.JPEG_LOSSLESS_SV1, mg_dicom.JPEG_2000_LOSSLESS])
    def test_a_frame_cut_short_is_refused_although_decoders_fill_it_up(self, tmp_path, syntax):
        stored = stored_view()
        frame = jpeg_lossless(stored, 12)
        if syntax == mg_dicom.JPEG_2000_LOSSLESS:
            frame = openjpeg.utils.encode_array(stored, bits_stored=12, photometric_interpretation=2)
        path = write_mg(tmp_path / "a.dcm", stored, frame=frame[: len(frame) // 2], syntax=syntax)
        assert "truncated" in refusal(path)

    @pytest.mark.parametrize("syntax", [mg_dicom.JPEG_LOSSLESS_SV1, mg_dicom.JPEG_2000_LOSSLESS])
    def test_a_frame_larger_than_the_header_says_is_refused_before_it_is_decoded(self, tmp_path, syntax):
        stored = stored_view()
        frame = jpeg_lossless(stored, 12)
        if syntax == mg_dicom.JPEG_2000_LOSSLESS:
            frame = openjpeg.utils.encode_array(stored, bits_stored=12, photometric_interpretation=2)
        path = write_mg(tmp_path / "a.dcm", stored[:70, :70], frame=frame, syntax=syntax)
        assert "(96, 80)" in refusal(path)

    def test_frame_size_and_end_of_pydicoms_own_compressed_files(self):
        from pydicom.data import get_testdata_file

        for name in ("JPEG2000.dcm", "JPGExtended.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm"):
            dataset = pydicom.dcmread(get_testdata_file(name))
            frame = first_frame(dataset.PixelData)
            assert frame_size(frame) == (dataset.Rows, dataset.Columns)
            assert is_complete(frame)

    def test_itk_is_not_trusted_with_jpeg_extended(self, tmp_path):
        path = write_mg(tmp_path / "a.dcm", stored_view(), frame=b"\0\0", syntax=mg_dicom.JPEG_EXTENDED)
        with pytest.raises(MammogramError, match="itk decodes exactly"):
            decode_with_itk(pydicom.dcmread(path), path=path)

    @pytest.mark.train
    def test_itk_decodes_stored_values_whatever_the_header_asks_for(self, tmp_path):
        stored = stored_view()
        changes = {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": "2", "RescaleIntercept": "5"}
        frame = jpeg_lossless(stored, 12)
        path = write_mg(tmp_path / "a.dcm", stored, frame=frame, syntax=mg_dicom.JPEG_LOSSLESS_SV1, **changes)
        np.testing.assert_array_equal(decode_with_itk(pydicom.dcmread(path), path=path), stored)

    @pytest.fixture
    def without_plugin(self, tmp_path, monkeypatch):
        def only_itk(frame, *, decoder="pydicom", **options):
            if decoder == "pydicom":
                raise MissingDecoderError
            return decode_frame(frame, decoder=decoder, **options)

        monkeypatch.setattr(dicom_pixels, "decode_frame", only_itk)
        frame = jpeg_lossless(stored_view(), 12)
        return write_mg(tmp_path / "a.dcm", stored_view(), frame=frame, syntax=mg_dicom.JPEG_LOSSLESS_SV1)

    def test_a_missing_plugin_is_named(self, without_plugin, monkeypatch):
        def neither(frame, **options):
            raise MissingDecoderError

        monkeypatch.setattr(dicom_pixels, "decode_frame", neither)
        assert "install pylibjpeg" in refusal(without_plugin)

    def test_what_pydicom_says_without_plugins_is_a_missing_decoder(self, monkeypatch):
        def no_plugin(self):
            raise RuntimeError("all plugins are missing dependencies:\n  pylibjpeg")

        monkeypatch.setattr(pydicom.dataset.Dataset, "pixel_array", property(no_plugin))
        with pytest.raises(ImportError):
            codec_worker.decode(b"\0\0", syntax=mg_dicom.JPEG_LOSSLESS_SV1, module={}, decoder="pydicom")

    @pytest.mark.train
    def test_itk_steps_in_for_a_missing_plugin(self, without_plugin):
        np.testing.assert_array_equal(pixels(without_plugin), stored_view())

    @needs_ge_view
    @pytest.mark.train
    def test_real_ge_view_is_what_itk_decodes_under_the_first_voi_lut(self):
        import itk

        stored = itk.array_from_image(itk.imread(str(GE_VIEW))).squeeze()
        item = pydicom.dcmread(GE_VIEW).VOILUTSequence[0]
        count, first, _ = item.LUTDescriptor
        reference = np.asarray(item.LUTData)[np.clip(stored.astype(int) - first, 0, count - 1)]
        padded = stored <= 30
        view = MammogramReader().view(GE_VIEW)
        np.testing.assert_array_equal(view.pixels[~padded], reference[~padded])
        assert (view.pixels[padded] == reference[~padded].min()).all()
        assert (view.view_position, view.laterality, view.remarks) == ("MLO", "R", "")


class TestMetadata:
    def test_spacing_is_the_imagers_over_the_magnification(self, tmp_path):
        path = write_mg(tmp_path / "a.dcm", stored_view(), EstimatedRadiographicMagnificationFactor="1.25")
        np.testing.assert_allclose(MammogramReader().view(path).spacing_mm, (0.08, 0.064))

    def test_pixel_spacing_serves_where_the_imagers_is_missing(self, tmp_path):
        changes = {"ImagerPixelSpacing": None, "EstimatedRadiographicMagnificationFactor": "1.25"}
        path = write_mg(tmp_path / "a.dcm", stored_view(), PixelSpacing=[0.07, 0.06], **changes)
        assert MammogramReader().view(path).spacing_mm == (0.07, 0.06)

    @pytest.mark.parametrize("spacing", [None, [0.0, 0.0], [-0.07, -0.07], [70.0, 70.0], [1.0, 1.0]])
    def test_implausible_spacing_is_refused_and_the_option_heals_it(self, tmp_path, spacing):
        path = write_mg(tmp_path / "a.dcm", stored_view(), ImagerPixelSpacing=spacing)
        assert "pass --spacing-mm" in refusal(path)
        assert MammogramReader(spacing_mm=0.07).view(path).spacing_mm == (0.07, 0.07)
        assert MammogramReader(spacing_mm=(0.07, 0.05)).view(path).spacing_mm == (0.07, 0.05)

    def test_the_default_spacing_serves_where_the_file_states_none_and_nowhere_else(self, tmp_path):
        reader = MammogramReader(default_spacing_mm=0.09)
        stated = write_mg(tmp_path / "stated.dcm", stored_view())
        assert reader.view(stated).spacing_mm == MammogramReader().view(stated).spacing_mm
        silent = write_mg(tmp_path / "silent.dcm", stored_view(), ImagerPixelSpacing=None)
        assert reader.view(silent).spacing_mm == (0.09, 0.09)
        Image.fromarray(stored_view(bits=8).astype(np.uint8)).save(tmp_path / "silent.png")
        assert reader.view(tmp_path / "silent.png").spacing_mm == (0.09, 0.09)
        assert MammogramReader(spacing_mm=0.05, default_spacing_mm=0.09).view(silent).spacing_mm == (0.05, 0.05)
        # What is stated and cannot be is not healed by a default.
        wrong = write_mg(tmp_path / "wrong.dcm", stored_view(), ImagerPixelSpacing=[70.0, 70.0])
        with pytest.raises(MammogramError, match="70 x 70"):
            reader.view(wrong)

    def test_zero_magnification_is_refused(self, tmp_path):
        path = write_mg(tmp_path / "a.dcm", stored_view(), EstimatedRadiographicMagnificationFactor="0")
        assert "magnification factor > 0" in refusal(path)

    def test_an_implausible_option_is_refused_at_once(self):
        with pytest.raises(MammogramError, match="70 x 70"):
            MammogramReader(spacing_mm=70)

    @pytest.mark.parametrize(("value", "scheme"), [("399368009", "SCT"), ("R-10226", "SRT")])
    def test_view_code_serves_where_the_position_is_missing(self, tmp_path, value, scheme):
        codes = Sequence([code(value, scheme)])
        path = write_mg(tmp_path / "a.dcm", stored_view(), ViewPosition=None, ViewCodeSequence=codes)
        assert MammogramReader().view(path).view_position == "MLO"

    def test_laterality_of_the_series_serves_where_the_images_is_missing(self, tmp_path):
        path = write_mg(tmp_path / "a.dcm", stored_view(), ImageLaterality=None, Laterality="R")
        assert MammogramReader().view(path).laterality == "R"

    def test_unknown_view_and_side_are_empty(self, tmp_path):
        path = write_mg(tmp_path / "a.dcm", stored_view(), ImageLaterality=None, ViewPosition=None)
        view = MammogramReader().view(path)
        assert (view.view_position, view.laterality) == ("", "")

    def test_row_index_runs_along_minus_y_and_column_index_along_minus_x(self, tmp_path):
        reader = MammogramReader()
        _, meta = reader.get_data(reader.read(write_mg(tmp_path / "a.dcm", stored_view())))
        position = meta["affine"] @ [10, 20, 0, 1]
        np.testing.assert_allclose(position, [-20 * 0.08, -10 * 0.1, 0, 1])

    def test_affine_is_itks_with_the_axes_exchanged(self, tmp_path):
        reader = MammogramReader()
        _, meta = reader.get_data(reader.read(write_mg(tmp_path / "a.dcm", stored_view())))
        exchange = np.eye(4)[[1, 0, 2, 3]]
        np.testing.assert_allclose(meta["affine"] @ exchange, np.diag([-0.08, -0.1, 1, 1]))

    @pytest.mark.parametrize(
        ("remark", "changes"),
        [
            ("no Modality", {"Modality": None}),
            ("synthetic", {"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]}),
            ("synthetic", {"SeriesDescription": "L CC C-View"}),
            ("contrast-enhanced", {"ContrastBolusAgent": "IOHEXOL"}),
            ("magnification", {"EstimatedRadiographicMagnificationFactor": "1.8"}),
            ("burned-in annotation", {"BurnedInAnnotation": "YES"}),
            ("breast implant", {"BreastImplantPresent": "YES"}),
            ("partial view", {"PartialView": "YES"}),
            ("lossy compression", {"LossyImageCompression": "01"}),
        ],
    )
    def test_unusual_views_are_read_with_one_warning(self, tmp_path, remark, changes):
        path = write_mg(tmp_path / "a.dcm", stored_view(), **changes)
        with pytest.warns(MammogramWarning, match=remark) as caught:
            view = MammogramReader().view(path)
        assert len(caught) == 1
        assert remark in view.remarks

    def test_what_a_header_denies_is_no_remark(self, tmp_path):
        denied = dict.fromkeys(("BurnedInAnnotation", "BreastImplantPresent", "PartialView"), "NO")
        path = write_mg(tmp_path / "a.dcm", stored_view(), **denied, LossyImageCompression="00")
        assert MammogramReader().view(path).remarks == ""

    def test_spot_compression_is_recognised_by_its_modifier(self, tmp_path):
        view_code = code("399162004")
        view_code.ViewModifierCodeSequence = Sequence([code("399055006")])
        path = write_mg(tmp_path / "a.dcm", stored_view(), ViewCodeSequence=Sequence([view_code]))
        with pytest.warns(MammogramWarning, match="spot compression"):
            MammogramReader().view(path)

    def test_no_name_and_no_identifier_in_the_metadata(self, tmp_path):
        view = MammogramReader().view(write_mg(tmp_path / "a.dcm", stored_view()))
        assert not any(secret in str(view.meta()) for secret in (mg_dicom.PATIENT_NAME, mg_dicom.PATIENT_ID, "1.2.8"))


class TestRefusals:
    @pytest.mark.parametrize(
        ("reason", "changes"),
        [
            ("modality MG, got 'CT'", {"Modality": "CT"}),
            ("modality MG, got 'SR'", {"Modality": "SR"}),
            ("modality MG, got 'SEG'", {"Modality": "SEG"}),
            ("tomosynthesis", {"SOPClassUID": mg_dicom.TOMOSYNTHESIS}),
            ("at least 64 x 64", {"Rows": 1, "Columns": 1}),
            ("at most 67108864 pixels", {"Rows": 60000, "Columns": 60000}),
            ("got 32 of 32", {"BitsAllocated": 32, "BitsStored": 32}),
            ("truncated", {"Rows": 200}),
            ("'PALETTE COLOR'", {"PhotometricInterpretation": "PALETTE COLOR"}),
            ("LINEAR window of width >= 1", {"WindowCenter": 5, "WindowWidth": 0}),
            ("got 'CUBIC'", {"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}),
        ],
    )
    def test_other_objects(self, tmp_path, reason, changes):
        assert reason in refusal(write_mg(tmp_path / "a.dcm", stored_view(), **changes))

    def test_several_frames(self, tmp_path):
        stored = np.stack([stored_view(), stored_view()])
        assert "2 frames" in refusal(write_mg(tmp_path / "a.dcm", stored, NumberOfFrames=2))

    def test_colour(self, tmp_path):
        stored = np.zeros((96, 80, 3), np.uint8)
        changes = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
        assert "colour" in refusal(write_mg(tmp_path / "a.dcm", stored, **changes))

    def test_constant_view(self, tmp_path):
        assert "got 0 at every pixel" in refusal(write_mg(tmp_path / "a.dcm", np.zeros((96, 80), np.uint16)))

    def test_the_cap_lets_the_largest_detectors_through(self):
        assert MAX_PIXELS > 4096 * 5625

    def test_missing_file_folder_empty_file_and_text(self, tmp_path):
        (tmp_path / "empty.dcm").touch()
        (tmp_path / "text.dcm").write_text("not an image\n" * 100)
        assert "existing file" in refusal(tmp_path / "nowhere.dcm")
        assert "got a folder" in refusal(tmp_path)
        assert "empty file" in refusal(tmp_path / "empty.dcm")
        assert "none of their signatures" in refusal(tmp_path / "text.dcm")

    @pytest.mark.parametrize("syntax", [mg_dicom.EXPLICIT_LITTLE, mg_dicom.JPEG_LOSSLESS_SV1])
    def test_a_file_cut_anywhere_gives_one_line_and_no_secret(self, tmp_path, syntax, capfd, caplog):
        stored = stored_view()
        frame = None if syntax == mg_dicom.EXPLICIT_LITTLE else jpeg_lossless(stored, 12)
        whole = write_mg(tmp_path / "a.dcm", stored, frame=frame, syntax=syntax).read_bytes()
        cut = tmp_path / "cut.dcm"
        with caplog.at_level(logging.DEBUG):
            for length in (*range(1, 1200, 37), len(whole) // 2, len(whole) - 300):
                cut.write_bytes(whole[:length])
                line = refusal(cut)
                assert line.startswith(str(cut))
                assert "\n" not in line
                assert "secret" not in line.lower()
        assert capfd.readouterr() == ("", "")
        assert not caplog.records

    def test_a_malformed_header_value_is_not_repeated(self, tmp_path):
        path = write_mg(tmp_path / "a.dcm", stored_view(), RescaleSlope="1.25", RescaleIntercept="0")
        path.write_bytes(path.read_bytes().replace(b"1.25", b"JANE"))
        line = refusal(path)
        assert "JANE" not in line
        assert "\n" not in line

    def test_deflated_files_are_not_inflated(self, tmp_path):
        whole = write_mg(tmp_path / "a.dcm", stored_view()).read_bytes()
        start = whole.index(b"1.2.840.10008.1.2.1\0")
        assert start < 400
        patched = whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99", 1)
        length_at = start - 2
        patched = patched[:length_at] + (22).to_bytes(2, "little") + patched[start:]
        (tmp_path / "b.dcm").write_bytes(patched)
        assert "Deflated" in refusal(tmp_path / "b.dcm")


class TestFlatFiles:
    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_grey_values_are_kept_in_rows_and_columns(self, tmp_path, name, dtype):
        grey = stored_view(bits=8 * np.dtype(dtype).itemsize).astype(dtype)
        Image.fromarray(grey).save(tmp_path / name)
        view = MammogramReader(spacing_mm=0.07).view(tmp_path / name)
        np.testing.assert_array_equal(view.pixels, grey)
        assert view.spacing_mm == (0.07, 0.07)

    def test_white_is_zero_tiffs_are_inverted(self, tmp_path):
        grey = stored_view(bits=16)
        Image.fromarray(grey).save(tmp_path / "a.tif", tiffinfo={262: 0})
        with Image.open(tmp_path / "a.tif") as image:
            assert image.tag_v2[262] == 0
        np.testing.assert_array_equal(pixels(tmp_path / "a.tif", spacing_mm=0.07), 65535.0 - grey)

    def test_jpeg_and_equal_colour_channels_are_grey(self, tmp_path):
        grey = stored_view(bits=8).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / "a.jpg", quality=95)
        Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "rgb.png")
        assert np.abs(pixels(tmp_path / "a.jpg", spacing_mm=0.07) - grey).mean() < 3
        np.testing.assert_array_equal(pixels(tmp_path / "rgb.png", spacing_mm=0.07), grey)

    def test_spacing_is_asked_for(self, tmp_path):
        Image.fromarray(stored_view(bits=8).astype(np.uint8)).save(tmp_path / "a.png", dpi=(300, 300))
        assert "pass --spacing-mm" in refusal(tmp_path / "a.png")

    def test_colour_transparency_and_pages_are_refused(self, tmp_path):
        grey = stored_view(bits=8).astype(np.uint8)
        colour = np.stack([grey, grey, 255 - grey], -1)
        clear = np.stack([grey, grey, grey, np.full_like(grey, 128)], -1)
        Image.fromarray(colour).save(tmp_path / "colour.png")
        Image.fromarray(clear).save(tmp_path / "clear.png")
        Image.fromarray(grey > 100).save(tmp_path / "bits.png")
        page = Image.fromarray(grey)
        page.save(tmp_path / "pages.tif", save_all=True, append_images=[page])
        assert "got colour" in refusal(tmp_path / "colour.png", spacing_mm=0.07)
        assert "got transparency" in refusal(tmp_path / "clear.png", spacing_mm=0.07)
        assert "mode '1'" in refusal(tmp_path / "bits.png", spacing_mm=0.07)
        assert "got 2" in refusal(tmp_path / "pages.tif", spacing_mm=0.07)

    def test_truncated_tiny_and_black_are_refused(self, tmp_path):
        grey = stored_view(bits=8).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / "a.png")
        (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:2000])
        Image.fromarray(grey[:1, :1]).save(tmp_path / "tiny.png")
        Image.fromarray(0 * grey).save(tmp_path / "black.png")
        assert "truncated" in refusal(tmp_path / "cut.png", spacing_mm=0.07)
        assert "got 1 x 1" in refusal(tmp_path / "tiny.png", spacing_mm=0.07)
        assert "got 0 at every pixel" in refusal(tmp_path / "black.png", spacing_mm=0.07)


class TestNifti:
    @pytest.mark.parametrize("trailing", [(), (1,), (1, 1)])
    def test_first_axis_of_itks_files_is_the_columns(self, tmp_path, trailing):
        grey = stored_view().astype(np.float32)
        image = nib.Nifti1Image(grey.T.reshape(*grey.T.shape, *trailing), np.diag([-0.08, -0.1, 1, 1]))
        nib.save(image, tmp_path / "a.nii.gz")
        view = MammogramReader().view(tmp_path / "a.nii.gz")
        np.testing.assert_array_equal(view.pixels, grey)
        np.testing.assert_allclose(view.spacing_mm, (0.1, 0.08))
        np.testing.assert_allclose(view.meta()["affine"] @ [10, 20, 0, 1], [-20 * 0.08, -10 * 0.1, 0, 1], rtol=1e-6)

    def test_what_is_saved_in_rows_and_columns_is_read_back_so(self, tmp_path):
        grey = stored_view().astype(np.float32)
        reader = MammogramReader()
        _, meta = reader.get_data(reader.read(write_mg(tmp_path / "a.dcm", stored_view())))
        nib.save(nib.Nifti1Image(grey, meta["affine"]), tmp_path / "a.nii")
        view = MammogramReader().view(tmp_path / "a.nii")
        np.testing.assert_array_equal(view.pixels, grey)
        np.testing.assert_allclose(view.meta()["affine"], meta["affine"], rtol=1e-6)

    def test_the_option_replaces_a_spacing_that_nobody_set(self, tmp_path):
        nib.save(nib.Nifti1Image(stored_view().T.astype(np.float32), np.eye(4)), tmp_path / "a.nii")
        assert "got 1 x 1; pass --spacing-mm" in refusal(tmp_path / "a.nii")
        assert MammogramReader(spacing_mm=0.07).view(tmp_path / "a.nii").spacing_mm == (0.07, 0.07)

    def test_volumes_nan_and_damage_are_refused(self, tmp_path):
        volume = np.random.default_rng(0).random((70, 70, 3), dtype=np.float32)
        flat = volume[..., 0].copy()
        flat[3, 3] = np.nan
        nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "volume.nii")
        nib.save(nib.Nifti1Image(flat, np.eye(4)), tmp_path / "nan.nii")
        whole = (tmp_path / "nan.nii").read_bytes()
        (tmp_path / "cut.nii").write_bytes(whole[:3000])
        (tmp_path / "cut.nii.gz").write_bytes(b"\x1f\x8b" + whole[:3000])
        assert "shape (70, 70, 3)" in refusal(tmp_path / "volume.nii", spacing_mm=0.07)
        assert "nan" in refusal(tmp_path / "nan.nii", spacing_mm=0.07).removeprefix(str(tmp_path / "nan.nii"))
        assert "truncated" in refusal(tmp_path / "cut.nii", spacing_mm=0.07)
        assert "truncated" in refusal(tmp_path / "cut.nii.gz", spacing_mm=0.07)


class TestInMonai:
    def test_load_mammogramd_gives_a_channel_and_the_metadata(self, tmp_path):
        stored = stored_view()
        path = write_mg(tmp_path / "a.dcm", stored)
        view = LoadMammogramd()({"image": str(path)})["image"]
        assert isinstance(view, MetaTensor)
        assert view.dtype == torch.float32
        np.testing.assert_array_equal(view[0].numpy(), stored)
        assert view.meta["view_position"] == "CC"
        assert view.meta["filename_or_obj"] == str(path)
        assert EnsureChannelFirstd("image")({"image": view})["image"].shape == (1, 96, 80)

    @pytest.mark.filterwarnings("ignore:.*nvImageCodec")
    def test_load_imaged_with_our_reader_gives_the_same_view(self, tmp_path):
        path = str(write_mg(tmp_path / "a.dcm", stored_view()))
        chain = Compose([LoadImaged("image", reader=MammogramReader()), EnsureChannelFirstd("image")])
        theirs, ours = chain({"image": path})["image"], LoadMammogramd()({"image": path})["image"]
        assert torch.equal(theirs.as_tensor(), ours.as_tensor())
        assert torch.equal(theirs.affine, ours.affine)
        np.testing.assert_array_equal(theirs.meta["spacing_mm"], ours.meta["spacing_mm"])

    @pytest.mark.filterwarnings("ignore:.*nvImageCodec")
    def test_load_imaged_cannot_fall_back_to_another_reader(self, tmp_path):
        Image.fromarray(stored_view(bits=8).astype(np.uint8)).save(tmp_path / "a.png")
        chain = Compose([LoadImaged("image", reader=MammogramReader())])
        with pytest.raises(RuntimeError) as caught:
            chain({"image": str(tmp_path / "a.png")})
        root = root_mammogram_error(caught.value)
        assert root is not None
        assert "pass --spacing-mm" in str(root)

    @pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
    def test_the_line_survives_the_data_loader(self, tmp_path, workers):
        missing = str(tmp_path / "nowhere.dcm")
        loader = DataLoader(Dataset([{"image": missing}], Compose([LoadMammogramd()])), num_workers=workers)
        with pytest.raises(RuntimeError) as caught:
            next(iter(loader))
        assert str(root_mammogram_error(caught.value)).startswith(f"{missing}: Expected an existing file")

    def test_the_line_is_found_in_the_traceback_that_a_worker_process_sends(self, tmp_path):
        missing = str(tmp_path / "nowhere.dcm")
        try:
            Compose([LoadMammogramd()])({"image": missing})
        except RuntimeError:
            sent = ExceptionWrapper(where="in DataLoader worker process 0")
        with pytest.raises(RuntimeError) as caught:
            sent.reraise()
        assert caught.value.__cause__ is None
        assert str(root_mammogram_error(caught.value)).startswith(f"{missing}: Expected an existing file")

    def test_other_errors_have_no_mammogram_error_at_their_root(self):
        assert root_mammogram_error(KeyError("image")) is None

    def test_views_collate(self, tmp_path):
        paths = [{"image": str(write_mg(tmp_path / f"{n}.dcm", stored_view()))} for n in range(2)]
        batch = next(iter(DataLoader(Dataset(paths, LoadMammogramd()), batch_size=2)))
        assert batch["image"].shape == (2, 1, 96, 80)

    def test_read_notes_the_path_and_takes_no_options(self):
        assert MammogramReader().read("nowhere.dcm") == ["nowhere.dcm"]
        with pytest.raises(TypeError, match="swap_ij"):
            MammogramReader().read("nowhere.dcm", swap_ij=True)

    def test_several_files_are_no_view(self, tmp_path):
        reader = MammogramReader()
        with pytest.raises(MammogramError, match="one file per view, got 2"):
            reader.get_data(reader.read([tmp_path / "a.dcm", tmp_path / "b.dcm"]))

    def test_suffixes(self, tmp_path):
        reader = MammogramReader()
        assert reader.verify_suffix("a.dcm")
        assert reader.verify_suffix(["a.NII.GZ"])
        assert not reader.verify_suffix("a.mhd")
        assert not reader.verify_suffix(["a.dcm", "b.dcm"])
