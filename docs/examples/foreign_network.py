"""TT-GPR and flips and turns around a network that is not ours: MONAI's U-Net, trained for a minute on synthetic pairs.

The installed library is all that this needs, and the shipped generator. Cells are marked as editors and Jupyter
(through Jupytext) know them; run whole:

    python docs/examples/foreign_network.py --generator models/generator_ema.pt --output-dir OUT
"""

# %% What comes from where: `mcgenref` is this project as pip installs it, the rest is MONAI and torch.
import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure
from mcgenref.data import LoadLabeld, LoadMammogramd, SyntheticPairDataset, phantom_datalist
from mcgenref.inferers import AugmentedInferer, TTGPRInferer, WindowedInferer
from mcgenref.losses import DiceFocalTverskyLoss
from mcgenref.metrics import MicrocalcificationMetric
from mcgenref.networks import Restormer, load_weights
from mcgenref.transforms import (
    BreastMaskd,
    MammogramWindowd,
    RandBreastCropd,
    RandDetectord,
    RandInjectMicrocalcificationsd,
    RandQuantumNoised,
)
from monai.data import DataLoader
from monai.networks.nets import UNet
from monai.transforms import Compose

parser = argparse.ArgumentParser()
parser.add_argument("--generator", required=True, help="models/generator_ema.pt of the bundle")
parser.add_argument("--output-dir", type=Path, default=Path("output"))
parser.add_argument("--steps", type=int, default=150, help="of training; a few show that it runs, thousands are needed")
options = parser.parse_args()
torch.manual_seed(0)

# %% Views: one clean phantom to train on and one with calcifications to look at. Any mammograms do.
SMALL = {"spacing_mm": 0.1, "height_mm": 60.0, "width_mm": 48.0}
folder = options.output_dir / "phantoms"
clean = phantom_datalist(folder, count=1, first_seed=7, calcified=False, **SMALL)
calcified = phantom_datalist(folder, count=1, first_seed=100_003, **SMALL)
load = Compose([LoadMammogramd("image"), BreastMaskd("image"), MammogramWindowd("image")])

# %% Pairs: windows of the clean view with calcifications put in; sample n is the same in every run.
draw = Compose(
    [
        RandBreastCropd(window_px=128),
        RandQuantumNoised(),
        RandInjectMicrocalcificationsd(ranges={"empty_share": 0.0, "puncta": [10, 40], "cnr": [6.0, 20.0]}),
        RandDetectord(),
    ]
)
pairs = SyntheticPairDataset(clean, load, draw, samples_per_epoch=4 * options.steps)

# %% A network that knows nothing of this project. Batch norm: a window's answer must not depend on its neighbours.
network = UNet(2, 1, 1, channels=(16, 32, 64), strides=(2, 2), num_res_units=1, norm="batch")
loss_function, optimizer = DiceFocalTverskyLoss(), torch.optim.AdamW(network.parameters(), lr=3e-3)
for step, batch in enumerate(DataLoader(pairs, batch_size=4)):
    loss = loss_function(network(batch["image"]), batch["label"])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 25 == 0 or step == options.steps - 1:
        print(f"step {step:4d}, loss {float(loss.detach()):.3f}")
network.eval()

# %% The shipped generator, and three ways from the network to a whole view. All take any callable.
generator = load_weights(
    Restormer(
        dim=24,
        stem_stride=2,
        num_blocks=(1, 2, 2, 4),
        num_decoder_blocks=(1, 2, 2),
        num_refinement_blocks=0,
        time_dim=64,
        flow_sigma=0.03,
        condition_channels=2,
    ),
    options.generator,
)
inferers = {
    "network alone": WindowedInferer(),
    "flips and turns": AugmentedInferer(gate_threshold=0.1),
    "TT-GPR": TTGPRInferer(generator),
}

# %% One view through all three, and what a metric says of it. One view and a minute of training: no comparison.
view = LoadLabeld("label")(load(calcified[0]))
image, label = view["image"].as_tensor()[None], torch.as_tensor(view["label"])[None]
probs = {}
for name, inferer in inferers.items():
    probs[name] = inferer(image, network).sigmoid()
    metric = MicrocalcificationMetric(metric="f2")
    metric(probs[name], label, region=view["breast"][None])
    print(f"{name:16s} pixel F2 {float(metric.aggregate()):.3f}")

# %% Side by side, where most of the label lies.
rows, columns = (label[0, 0] == 1).nonzero().float().mean(dim=0).int().tolist()
window = (slice(max(rows - 100, 0), rows + 100), slice(max(columns - 100, 0), columns + 100))
figure = Figure(figsize=(16, 4.4), layout="constrained")
axes = figure.subplots(1, 4)
axes[0].imshow(image[0, 0][window], cmap="gray")
axes[0].contour((label[0, 0] == 1).float()[window], levels=[0.5], colors="lime", linewidths=0.7)
axes[0].set_title("view and label")
for axis, (name, prob) in zip(axes[1:], probs.items(), strict=True):
    axis.imshow(prob[0, 0][window], cmap="magma", vmin=0, vmax=1)
    axis.set_title(name)
for axis in axes:
    axis.set_axis_off()
figure.savefig(options.output_dir / "foreign_network.png", dpi=100)
print(options.output_dir / "foreign_network.png")
