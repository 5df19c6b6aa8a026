from pathlib import Path

import pytest

from bundle.data import MammogramError, ViewStream


def _transform(item: dict) -> dict:
    text = Path(item["image"]).read_text()
    if text == "bad":
        # What MONAI's Compose does to an error of a transform.
        try:
            raise MammogramError(f"{item['image']}: Expected a view, got none; copy it again")
        except MammogramError as error:
            raise RuntimeError("applying transform") from error
    if text == "bug":
        raise RuntimeError("a mistake of ours")
    return {"text": text}


def _folder(tmp_path: Path, *texts: str) -> Path:
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.png").write_text(text)
    return tmp_path


def test_bad_files_are_left_out_and_named(tmp_path: Path) -> None:
    stream = ViewStream(str(_folder(tmp_path, "one", "bad", "two")), _transform)
    assert [view["text"] for view in stream] == ["one", "two"]
    assert stream.done == 2
    assert len(stream.refused) == 1
    assert "1.png" in stream.refused[0]


def test_our_own_mistakes_are_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="mistake of ours"):
        list(ViewStream(str(_folder(tmp_path, "bug")), _transform))


def test_a_second_pass_counts_anew(tmp_path: Path) -> None:
    stream = ViewStream(str(_folder(tmp_path, "one", "bad")), _transform)
    for _ in range(2):
        assert len(list(stream)) == stream.done == len(stream.refused) == 1


def test_nothing_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MammogramError):
        ViewStream(str(tmp_path / "nowhere"), _transform).files()
