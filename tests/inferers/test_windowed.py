import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.inferers import WindowedInferer

from .toys import Segmentor, view


def _pointwise(image: Tensor) -> Tensor:
    return 5.0 * image + 1.0


def test_a_pointwise_network_is_applied_to_every_pixel_of_the_windows() -> None:
    image = view(40, 56, batch=2).clamp(min=-0.9)
    logits = WindowedInferer(16, sw_batch_size=3)(image, _pointwise)
    torch.testing.assert_close(logits, _pointwise(image))


def test_one_window_is_the_network_itself() -> None:
    image = view(32, 32)
    assert torch.equal(WindowedInferer(32)(image, Segmentor()), Segmentor()(image))


def test_overlapping_windows_are_averaged() -> None:
    calls = iter((1.0, 2.0, 4.0))
    image = torch.zeros(1, 1, 8, 16)
    logits = WindowedInferer(8, sw_batch_size=1)(image, lambda window: torch.full_like(window, next(calls)))
    assert logits[0, 0, 3].tolist() == [1.0] * 4 + [1.5] * 4 + [3.0] * 4 + [4.0] * 4


def test_windows_without_breast_cost_nothing_and_hold_minus_twelve() -> None:
    image = torch.full((1, 1, 32, 64), -1.0)
    image[..., :10] = 0.0
    segmentor = Segmentor()
    logits = WindowedInferer(32, overlap=0.5)(image, segmentor)
    assert segmentor.windows == 1
    assert (logits[..., 32:] == -12).all()
    assert (logits[..., :32] != -12).any()


def test_an_empty_view_asks_nobody() -> None:
    segmentor = Segmentor()
    logits = WindowedInferer(16)(torch.full((2, 1, 20, 20), -1.0), segmentor)
    assert segmentor.windows == 0
    assert (logits == -12).all()


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (5, 40), (40, 5)])
def test_small_images_come_back_in_their_size(rows: int, columns: int) -> None:
    image = torch.zeros(1, 1, rows, columns)
    logits = WindowedInferer(16)(image, _pointwise)
    assert torch.equal(logits, torch.ones(1, 1, rows, columns))


def test_the_network_sees_a_small_image_padded_with_background() -> None:
    seen: list[Tensor] = []
    WindowedInferer(8)(torch.zeros(1, 1, 3, 8), lambda window: seen.append(window.clone()) or window)  # type: ignore[func-returns-value]
    assert (seen[0][..., 3:, :] == -1).all()


@pytest.mark.parametrize("sw_batch_size", [1, 2, 7, 100])
def test_batches_of_windows_change_nothing(sw_batch_size: int) -> None:
    image = view(batch=2)
    logits = WindowedInferer(16, sw_batch_size=sw_batch_size)(image, Segmentor())
    torch.testing.assert_close(logits, WindowedInferer(16)(image, Segmentor()))


def test_extra_arguments_reach_the_network() -> None:
    logits = WindowedInferer(16)(torch.zeros(1, 1, 16, 16), lambda window, a, *, b: window + a * b, 2.0, b=3.0)
    assert (logits == 6).all()


def test_metadata_of_the_image_comes_back_with_the_logits() -> None:
    image = MetaTensor(view(), meta={"spacing_mm": [0.07, 0.07]})
    logits = WindowedInferer(16)(image, Segmentor())
    assert isinstance(logits, MetaTensor)
    assert logits.meta["spacing_mm"] == [0.07, 0.07]
    assert not isinstance(WindowedInferer(16)(view(), Segmentor()), MetaTensor)


def test_the_image_is_left_as_it_was() -> None:
    image = view()
    before = image.clone()
    WindowedInferer(16)(image, lambda window: window.mul_(2.0))
    assert torch.equal(image, before)


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_reduced_precision_gives_float32_close_to_the_full_one(dtype: str) -> None:
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 1, 3, padding=1)
    full = WindowedInferer(16)(view(), network)
    reduced = WindowedInferer(16, dtype=dtype)(view(), network)
    assert reduced.dtype == torch.float32
    assert not torch.equal(reduced, full)
    torch.testing.assert_close(reduced, full, atol=0.02, rtol=0.02)


def test_no_gradient_is_kept() -> None:
    network = torch.nn.Conv2d(1, 1, 3, padding=1)
    assert not WindowedInferer(16)(view(), network).requires_grad


def test_a_progress_bar_counts_windows(capsys: pytest.CaptureFixture[str]) -> None:
    WindowedInferer(16, progress=True)(view(32, 32), Segmentor())
    assert "windows" in capsys.readouterr().err
    WindowedInferer(16)(view(32, 32), Segmentor())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("options", "message"), [({"sw_batch_size": 0}, "sw_batch_size"), ({"dtype": "int8"}, "int8")])
def test_meaningless_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WindowedInferer(16, **options)  # type: ignore[arg-type]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="add the missing axes"):
        WindowedInferer(16)(torch.zeros(3, 20, 20), _pointwise)
    with pytest.raises(ValueError, match="one output channel"):
        WindowedInferer(16)(torch.zeros(1, 1, 20, 20), lambda window: window.repeat(1, 2, 1, 1))
