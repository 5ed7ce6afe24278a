"""A convolutional variational autoencoder for 28×28 grey images.

Auto-Encoding Variational Bayes. Kingma, Welling. ICLR 2014, arXiv:1312.6114. Architecture of
DeepOBS (Schneider, Balles, Hennig, arXiv:1903.05499).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normbench import Dropout, GaussianNoise, SamePad2d, Sites
from normbench_problems.networks.building import Chain, Flatten, NormLayer, build

LATENT = 8
SLOPE = 0.3


def vae(
    sites: Sites | None = None,
    *,
    norm_layer: NormLayer | None = None,
    bias: str = "unless_centred",
) -> Vae:
    """Return the autoencoder: (N, 1, 28, 28) in [0, 1] to (images, mean, log standard deviation).

    Encoder: three 4×4 convolutions (same) of 64 filters at strides 2, 2, 1, each followed by leaky
    ReLU of slope 0.3 and dropout 0.2, then one dense layer to the mean m and one to twice the log
    standard deviation s of 8 latent numbers. z = m + ε·exp(s) with ε from N(0, 1), in training and
    in evaluation. Decoder: dense layers of 24 and 49 units with leaky ReLU, three transposed 4×4
    convolutions (same) of 64 filters at strides 2, 1, 1 with ReLU, dropout 0.2 after the first two,
    then a dense layer to 784 sigmoids. Sides of the maps: 14, 7, 7 and 14, 14, 14. Norm sites 0 to
    5 lie between each (transposed) convolution and its activation. Without norm 10 151 489
    parameters.

    Weights start Xavier uniform, biases at 0.

    Deviations: DeepOBS's PyTorch code also drops out after the third transposed convolution, and at
    stride 1 cuts two rows and columns off before and one after. Its TensorFlow original, followed
    here, drops out after the first two alone, and cuts one off before and two after.
    """
    return build(Vae, sites, norm_layer, bias)


class Vae(nn.Module):
    """The network of :func:`vae`."""

    def __init__(self, sites: Sites) -> None:
        super().__init__()
        self.encoder = _encoder(sites)
        self.mean = nn.Linear(3136, LATENT)
        self.log_variance = nn.Linear(3136, LATENT)
        self.noise = GaussianNoise()
        self.decoder = _decoder(sites)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the images decoded from a sample, and the sample's mean and log deviation."""
        features = self.encoder(images)
        mean = _wide(self.mean(features))
        log_std = 0.5 * _wide(self.log_variance(features))
        decoded = self.decoder(self.noise(mean, log_std.exp()))
        return decoded.view(images.shape), mean, log_std

    def initialise(self, layer: nn.Module) -> None:
        """Draw the initial values of one layer."""
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class SameTranspose(nn.ConvTranspose2d):
    """A transposed 4×4 convolution at stride 1 that keeps H and W.

    The transpose of TensorFlow's SAME padding, which puts one zero before and two after: one row
    and column is cut off before, two after.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 4, padding=1)

    def forward(self, inputs: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return (N, outputs, H, W)."""
        return super().forward(inputs, output_size)[:, :, :-1, :-1]


def _wide(values: Tensor) -> Tensor:
    """Return *values* in float32 at least, as what enters a loss and an exponential has to be."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _encoder(sites: Sites) -> Chain:
    chain = Chain()
    chain.add_site(sites, "conv1", nn.Conv2d(1, 64, 4, 2, padding=1), nn.LeakyReLU(SLOPE))
    chain.add_module("dropout1", Dropout(0.2))
    chain.add_site(sites, "conv2", nn.Conv2d(64, 64, 4, 2, padding=1), nn.LeakyReLU(SLOPE))
    chain.add_module("dropout2", Dropout(0.2))
    chain.add_module("pad3", SamePad2d(4))
    chain.add_site(sites, "conv3", nn.Conv2d(64, 64, 4), nn.LeakyReLU(SLOPE))
    chain.add_module("dropout3", Dropout(0.2))
    chain.add_module("flatten", Flatten())
    return chain


def _decoder(sites: Sites) -> Chain:
    chain = Chain()
    chain.add_module("dense1", nn.Linear(LATENT, 24))
    chain.add_module("dense1_activation", nn.LeakyReLU(SLOPE))
    chain.add_module("dense2", nn.Linear(24, 49))
    chain.add_module("dense2_activation", nn.LeakyReLU(SLOPE))
    chain.add_module("unflatten", nn.Unflatten(1, (1, 7, 7)))
    chain.add_site(sites, "deconv1", nn.ConvTranspose2d(1, 64, 4, 2, padding=1), nn.ReLU())
    chain.add_module("dropout1", Dropout(0.2))
    chain.add_site(sites, "deconv2", SameTranspose(64, 64), nn.ReLU())
    chain.add_module("dropout2", Dropout(0.2))
    chain.add_site(sites, "deconv3", SameTranspose(64, 64), nn.ReLU())
    chain.add_module("flatten", Flatten())
    chain.add_module("dense3", nn.Linear(12544, 784))
    chain.add_module("sigmoid", nn.Sigmoid())
    return chain
