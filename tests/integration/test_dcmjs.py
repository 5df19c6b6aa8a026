"""The segmentation as dcmjs reads it, the library under OHIF and other viewers of the web."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("highdicom")

from bundle.data.dicom_results import Placement, find_findings, new_uid, read_results, write_dicom
from bundle.data.dicom_seg import binary_segmentation
from tests.data.dicom_exam import exam_mask, write_exam, write_exam_results

# Where `npm install --prefix .node dcmjs` leaves it; or the folder that NODE_PATH names.
MODULES = Path(__file__).resolve().parents[2] / ".node" / "node_modules"
READER = """
const { readFileSync, writeFileSync } = require("fs");
const { DicomMessage, DicomMetaDictionary, BitArray } = require("dcmjs").data;
const [source, bits] = process.argv.slice(1);
const file = readFileSync(source);
const message = DicomMessage.readFile(file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength));
const dataset = DicomMetaDictionary.naturalizeDataset(message.dict);
const stored = dataset.PixelData instanceof Array ? dataset.PixelData[0] : dataset.PixelData;
writeFileSync(bits, BitArray.unpack(stored));
const segment = [].concat(dataset.SegmentSequence)[0];
const series = [].concat(dataset.ReferencedSeriesSequence)[0];
console.log(JSON.stringify({
  rows: dataset.Rows, columns: dataset.Columns, kind: dataset.SegmentationType, label: segment.SegmentLabel,
  source: [].concat(series.ReferencedInstanceSequence)[0].ReferencedSOPInstanceUID,
}));
"""


def _modules() -> str:
    paths = [str(MODULES), *os.environ.get("NODE_PATH", "").split(os.pathsep)]
    if shutil.which("node") is None or not any(path and (Path(path) / "dcmjs").is_dir() for path in paths):
        pytest.skip("needs node and dcmjs: npm install --prefix .node dcmjs")
    return os.pathsep.join(path for path in paths if path)


@pytest.mark.integration
def test_dcmjs_reads_the_mask_bit_for_bit_and_the_view_it_belongs_to(tmp_path: Path) -> None:
    environment = {**os.environ, "NODE_PATH": _modules()}
    source = write_exam(tmp_path / "view.dcm")
    write_exam_results(source, tmp_path / "results")
    view = read_results(str(source), findings=find_findings(tmp_path / "results"))
    write_dicom(tmp_path / "seg.dcm", binary_segmentation(view, Placement(new_uid(), 900)))
    command = ["node", "-e", READER, str(tmp_path / "seg.dcm"), str(tmp_path / "bits")]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout
    read = json.loads(said.strip().splitlines()[-1])
    bits = np.frombuffer((tmp_path / "bits").read_bytes(), np.uint8)
    mask = exam_mask()
    assert mask.any()
    assert (read["rows"], read["columns"]) == mask.shape
    # Bits are padded to whole bytes.
    np.testing.assert_array_equal(bits[: mask.size].reshape(mask.shape) > 0, mask > 0)
    assert not bits[mask.size :].any()
    assert read["kind"] == "BINARY"
    assert read["source"] == str(view.header.SOPInstanceUID)
