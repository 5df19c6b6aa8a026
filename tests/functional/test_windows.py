import pytest
import torch

from bundle.functional.windows import (
    Window,
    breast_windows,
    coverage,
    gather,
    pad_to_window,
    scatter_add_,
    window_origins,
    window_peaks,
    window_starts,
)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
def test_windows_cover_every_pixel_and_end_with_the_axis(overlap: float) -> None:
    for length in range(1, 60):
        starts = window_starts(length, window_px=16, overlap=overlap)
        covered = {start + k for start in starts for k in range(16)}
        assert covered >= set(range(length))
        assert starts[0] == 0
        assert starts[-1] == max(0, length - 16)
        assert len(set(starts)) == len(starts)


def test_half_overlap_steps_by_half_a_window() -> None:
    assert window_starts(1024, window_px=256) == [0, 128, 256, 384, 512, 640, 768]
    assert window_starts(300, window_px=256) == [0, 44]


@pytest.mark.parametrize("size", [1, 100, 256])
def test_an_image_up_to_a_window_has_one(size: int) -> None:
    assert window_origins(size, size, window_px=256) == [(0, 0)]


def test_padding_keeps_coordinates_and_adds_background() -> None:
    image = torch.rand(2, 1, 5, 20)
    padded = pad_to_window(image, window_px=16)
    assert padded.shape == (2, 1, 16, 20)
    assert torch.equal(padded[:, :, :5], image)
    assert (padded[:, :, 5:] == -1).all()


def test_large_images_are_not_padded() -> None:
    image = torch.rand(1, 1, 16, 17)
    assert pad_to_window(image, window_px=16) is image


def test_windows_without_breast_are_skipped() -> None:
    image = torch.full((2, 1, 32, 32), -1.0)
    image[1, 0, 20, 3] = -0.999
    assert breast_windows(image, window_px=16, overlap=0.0) == [Window(1, 16, 0)]


def test_peaks_are_the_largest_values() -> None:
    values = torch.arange(64.0).view(1, 1, 8, 8)
    assert window_peaks(values, [Window(0, 0, 0), Window(0, 4, 2)], window_px=4) == [27.0, 61.0]
    assert window_peaks(values, [], window_px=4) == []


def test_gather_then_scatter_is_the_image_times_its_coverage() -> None:
    image = torch.rand(2, 1, 40, 27)
    windows = breast_windows(image, window_px=16)
    total = scatter_add_(torch.zeros_like(image), gather(image, windows, window_px=16), windows)
    count = coverage(image, windows, window_px=16)
    assert count.min() >= 1
    torch.testing.assert_close(total / count, image)


def test_gathered_windows_are_copies() -> None:
    image = torch.zeros(1, 1, 16, 16)
    gather(image, [Window(0, 0, 0)], window_px=16).add_(1.0)
    assert image.sum() == 0


@pytest.mark.parametrize(
    ("options", "message"), [({"window_px": 0}, "got 0"), ({"window_px": 4, "overlap": 1.0}, "1.0")]
)
def test_meaningless_windows_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        window_starts(10, **options)  # type: ignore[arg-type]
